// TimeX as a whole: a frozen classifier, a mask generator, a surrogate that sees what the mask leaves, landmark prototypes, and their loss.
#pragma once
#include "methods/time_series/timex/networks.h"
#include "methods/time_series/timex/timex.h"

namespace plumb::methods::timex {

struct TimexOptions {
  int64_t decoder_layers = 2, decoder_inner = 32;
  int64_t prototypes = 50;
  double tau_mask = 1, tau_prototype = 0.1;
  double prior = 0.5;                                ///< r
  double mask_weight = 1, connect_weight = 2;        ///< w_m, w_c
  double explain_weight = 2, consistent_weight = 1;  ///< β_e, β_s
  double label_weight = 1;                           ///< λ
  bool mbc = true;                                   ///< false: without L_mbc(z, z_E)
  bool straight_through = true;                      ///< false: soft masks
  bool copy_weights = true;                          ///< the surrogate starts as the classifier's encoder; false: at random
  /// What a mask leaves out becomes a random draw around the training mean; by default for several channels alone, as in the released code
  /// (one channel's steps are hidden by the attention gate).
  enum class Replace : uint8_t { automatic, always, never } replace = Replace::automatic;
  LabelForm label_form = LabelForm::pairs;
  /// Throws ConfigError naming what is out of range.
  void check() const;
};

/// Where replaced values come from: N(mean, std²) of each time and channel, [T, d].
struct Background {
  Tensor mean, std;
};
/// Of training series [N, T, d], the population's.
Background background_of(const Tensor& x);

/// Rows of embeddings [K, D], matched by a hard sample over their cosines.
class PrototypeMatcher : public nn::Module {
 public:
  /// Starts as `rows`, embeddings of training samples.
  PrototypeMatcher(Tensor rows, double tau);
  /// Each row of z [B, D] replaced by a prototype: straight-through Gumbel-softmax at τ over log-softmax of cosines. z gets no gradient.
  Tensor operator()(const Tensor& z, Generator& generator) const;
  /// The nearest prototype of each row by cosine, i64 [B].
  Tensor nearest(const Tensor& z) const;
  nn::Parameter rows;

 private:
  double tau_;
};

/// What one pass makes of a batch.
struct Explained {
  Tensor p;        ///< mask probabilities [B, T, d]: the explanation
  Tensor mask;     ///< the sample of 0 and 1 (or soft)
  Tensor z, z_e;   ///< embeddings of classifier (no gradient) and surrogate [B, D]
  Tensor y, y_e;   ///< logits of both
  Tensor matched;  ///< prototypes in the place of z_e
};
struct TimexLoss {
  Tensor total;
  double mask = 0, connect = 0, mbc = 0, label = 0, prototype = 0;
};

class TimeX : public nn::Module {
 public:
  /// A copy of `classifier` is frozen, in evaluation mode, and no part of parameters(). Prototypes start as its embeddings of training
  /// series x [N, T, d], classes in turn. Throws ConfigError for options; ValueError for more prototypes than series, labels of one class
  /// only, and a value that is missing or not finite; ShapeError for sizes that do not fit.
  TimeX(const SeriesClassifier& classifier, const Tensor& x, const Tensor& times, const Tensor& labels, const TimexOptions& options);

  Explained operator()(const Tensor& x, const Tensor& times, Generator& generator) const;
  /// β_e (w_m L_m + w_c L_c) + β_s (L_mbc(z, z_E) + L_mbc(z, q) + λ L_label).
  TimexLoss loss(const Explained& e) const;
  /// p of series in parts of 256, without a graph.
  Tensor saliency(const Tensor& x, const Tensor& times) const;
  /// Surrogate embeddings under a given mask [B, T, d].
  Tensor surrogate(const Tensor& x, const Tensor& times, const Tensor& mask, Generator& generator) const;
  const SeriesClassifier& classifier() const { return frozen_; }
  const PrototypeMatcher& prototypes() const { return prototypes_; }

 private:
  bool replaces() const;
  TimexOptions options_;
  SeriesClassifier frozen_;
  Background background_;
  MaskGenerator generator_;
  SeriesEncoder surrogate_;
  mlp::Mlp head_;
  PrototypeMatcher prototypes_;
};

struct TimexTraining {
  int64_t epochs = 30, batch = 64;
  double lr = 3e-3, weight_decay = 1e-3;
  /// ×0.1 where the validation consistency has not fallen for `patience` epochs, from `decay_from` on; 0: never.
  int64_t patience = 0, decay_from = 20;
  std::function<void(int64_t epoch, double validation)> progress = {};  ///< after every epoch
};
/// AdamW; keeps the weights of the epoch whose consistency on the validation series (both terms) is lowest. Draws from the default
/// generator. Returns that consistency. Throws ValueError for epochs, batch or lr out of range.
double train_timex(TimeX& model, const Tensor& x, const Tensor& times, const Tensor& validation, const Tensor& validation_times,
                   const TimexTraining& training);

struct ClassifierTraining {
  int64_t epochs = 60, batch = 64;
  double lr = 3e-3, weight_decay = 0.1;
  std::function<void(int64_t epoch)> progress = {};
};
/// AdamW on poly1_loss; leaves the classifier in evaluation mode. Throws as TimeX and train_timex.
void train_classifier(SeriesClassifier& model, const Tensor& x, const Tensor& times, const Tensor& labels,
                      const ClassifierTraining& training);

}  // namespace plumb::methods::timex

// UDA (Xie, Dai, Hovy, Luong & Le, Unsupervised Data Augmentation for Consistency Training, NeurIPS 2020): a network is to predict the same
// for an unlabelled example and for a strongly augmented copy of it. What is new is the strength of the augmentation, not the objective:
//   L = L_sup + λ L_u + e L_ent
#pragma once
#include <string>
#include <vector>

#include "methods/common/semi_supervised.h"

namespace plumb::methods::uda {

/// How training-signal annealing releases labelled examples, α(r) at r = t / T:
///   none: all are used,   linear: r,   log: 1 − exp(−5 r),   exp: exp(5 (r − 1))
enum class Annealing : uint8_t { none, linear, log, exp };
const std::vector<std::string>& words_of(Annealing);
/// Throws ValueError naming the words there are.
Annealing annealing_named(const std::string& word);

/// η = α(step / total) (1 − 1/K) + 1/K; 1 for `none`. Throws ValueError unless 0 ≤ step ≤ total, total ≥ 1 and K ≥ 1.
double tsa_threshold(Annealing annealing, int64_t step, int64_t total, int64_t classes);

struct TsaLoss {
  Tensor loss;            ///< a scalar
  double kept_ratio = 0;  ///< share of the batch that is trained on
};
/// Σ_i m_i CE_i / max(Σ_i m_i, 1) with m_i = 1[softmax(z_i)_{y_i} ≤ η], a constant: examples that are already predicted better than η are
/// left out. logits [B, K], labels i64 [B]. Throws as cross_entropy: IndexError for a label outside [0, K), ShapeError.
TsaLoss tsa_loss(const Tensor& logits, const Tensor& labels, double eta);

struct ConsistencyOptions {
  double tau = 0.4;   ///< temperature of the target; 1: as it is
  double beta = 0.8;  ///< examples whose clean prediction is not above it are left out; negative: none is
};
struct Consistency {
  Tensor loss;            ///< a scalar
  Tensor mask;            ///< [N], 1 for the examples that count
  double mask_ratio = 0;  ///< their share
};
/// (1/N) Σ_j n_j KL(softmax(z_j / τ) ‖ softmax(a_j)),   n_j = 1[max softmax(z_j) > β],
/// for logits z (clean) and a (augmented), [N, K]. The target and the mask, of the distribution that is not sharpened, are constants; the
/// sum is divided by N and not by the number of confident examples:  ∂/∂a_j = n_j (softmax(a_j) − t_j) / N.
/// Throws ShapeError unless both are [N, K], ValueError unless τ > 0 and β < 1.
Consistency uda_consistency(const Tensor& clean, const Tensor& augmented, const ConsistencyOptions& options = {});

/// mean_j H(softmax(z_j)), with its gradient. logits [N, K].
Tensor mean_entropy(const Tensor& logits);

/// The learning rate's factor: t / w while t < w, then cos((7π / 16) clip((t − w) / (T − w), 0, 1)).
/// Throws ValueError unless 0 ≤ warmup < total.
optim::Schedule uda_schedule(int64_t total, int64_t warmup = 0);

/// u_s = weak(strong(u)): the official order, in which flips and crops come after RandAugment.
augment::View strong_then_weak(augment::View strong, augment::View weak);

/// Out-of-domain filtering: of probabilities [n, K] of a model trained on labelled data alone, for each class the `per_class` examples that
/// it assigns to the class with the highest confidence (all of them, if there are fewer; of equal ones the earlier): i64, ascending. Throws
/// ValueError for per_class < 1, and as pseudo_labels does.
Tensor in_domain(const Tensor& probabilities, int64_t per_class);

struct UdaOptions {
  double lambda = 1;  ///< weight of L_u
  ConsistencyOptions consistency = {};
  double entropy = 0;  ///< weight of L_ent, the entropy of the clean predictions
  Annealing annealing = Annealing::none;
  int64_t steps = 0;  ///< T of the annealing; nothing else needs it
};

struct UdaTerms {
  Tensor total, supervised, consistency, entropy;  ///< scalars; entropy is undefined if it has no weight
  Tensor mask;                                     ///< [N] of the first augmented copy
  double mask_ratio = 0, kept_ratio = 1;
};
/// The objective from the logits of one forward pass over labelled, clean (weak) and augmented (strong) examples; with several augmented
/// copies of each example, L_u is their mean. `step` is for the annealing. Throws ValueError for a negative weight and as its parts do.
UdaTerms uda_loss(const SemiParts& logits, const Tensor& labels, int64_t step, const UdaOptions& options);

/// The loss of a step for train_semi_supervised: one forward pass, so that batch norm sees labelled, clean and augmented examples together,
/// and the network's own present predictions as the target, not an average's.
class Uda {
 public:
  /// Throws ValueError for options out of range.
  explicit Uda(const UdaOptions& options = {});
  template <typename Model>
  SemiStep operator()(Model& model, const SemiBatch& batch, int64_t step) {
    return from_logits(split_views(model(all_views(batch)), batch), batch, step);
  }
  SemiStep from_logits(const SemiParts& logits, const SemiBatch& batch, int64_t step);
  /// Of the last step.
  const UdaTerms& terms() const { return terms_; }

 private:
  UdaOptions options_;
  UdaTerms terms_;
};

/// What the official image code trains with beyond the loss: decay of every weight, norms and biases included, and averages of weights and
/// of batch norm's running statistics alike.
SemiTrainOptions uda_training(int64_t steps);

}  // namespace plumb::methods::uda

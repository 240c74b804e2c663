// Consistency training as it was before thresholds: the Pi-model, interpolation consistency and MixMatch, with mixup on the labelled
// examples, as losses of a step for train_semi_supervised. All use the present network for their targets.
#pragma once
#include "methods/common/mixing.h"
#include "methods/common/semi_supervised.h"

namespace plumb::methods {

/// A labelled batch mixed with itself in another order.
struct MixedLabelled {
  Tensor images, first, second;
  double lambda = 1;
  /// mixup_cross_entropy of the logits [B, K] of `images`.
  Tensor loss(const Tensor& logits) const { return mixup_cross_entropy(logits, first, second, lambda); }
};
MixedLabelled mix_labelled(const SemiBatch& batch, const MixOptions& options, Generator& generator);

/// Every unlabelled example counted, as the class that the model gives it.
SemiStep counted_step(const Tensor& loss, const Tensor& unlabelled_logits);

/// What all of these have in common.
struct ConsistencyCommon {
  MixOptions labelled = {};    ///< mixup of the labelled examples
  augment::View augment = {};  ///< T: the second view is T of the weak one; empty: the batch's strong view
  uint64_t seed = 0;           ///< of mixing and of T
};

/// Mixup of the labelled examples alone.
class MixupSupervised {
 public:
  explicit MixupSupervised(const ConsistencyCommon& common);
  template <typename Model>
  SemiStep operator()(Model& model, const SemiBatch& batch, int64_t) {
    MixedLabelled l = mix_labelled(batch, common_.labelled, labelled_draws_);
    return {l.loss(model(l.images)), {}, {}, 0};
  }

 private:
  ConsistencyCommon common_;
  Generator labelled_draws_;
};

/// Draws what a step of these methods needs, labelled and unlabelled numbers from sequences of their own, so that methods of one seed mix
/// labelled examples alike.
class ConsistencyDraws {
 public:
  explicit ConsistencyDraws(const ConsistencyCommon& common);
  MixedLabelled labelled(const SemiBatch& batch);
  /// T of the weak view, or the strong view. Throws ValueError for a batch without unlabelled examples or, without T, without a strong
  /// view.
  Tensor second_view(const SemiBatch& batch);
  Generator& unlabelled() { return unlabelled_; }

 private:
  ConsistencyCommon common_;
  Generator labelled_, unlabelled_, views_;
};

struct PiModelOptions {
  double weight = 1;
  ConsistencyCommon common = {};
};
/// The Pi-model (Laine & Aila, ICLR 2017): mixup CE + w D(f(T(u)), f(u)), gradients into both.
class PiModel {
 public:
  /// Throws ValueError for a negative weight.
  explicit PiModel(const PiModelOptions& options = {});
  template <typename Model>
  SemiStep operator()(Model& model, const SemiBatch& batch, int64_t) {
    MixedLabelled l = draws_.labelled(batch);
    Tensor rows = model(joined({l.images, batch.weak, draws_.second_view(batch)}));
    return from_logits(rows, l, batch.weak.size(0));
  }

 private:
  static Tensor joined(const std::vector<Tensor>& images);
  SemiStep from_logits(const Tensor& rows, const MixedLabelled& l, int64_t unlabelled) const;
  PiModelOptions options_;
  ConsistencyDraws draws_;
};

struct MeanTeacherOptions {
  double decay = 0.99;  ///< of the averaged weights that set the targets
  double weight = 10;
  int64_t ramp = 80;  ///< the weight rises as exp(−5 (1 − t / ramp)²) for so many steps
};
/// CE + weight · D(strong, target), the mean over the strong views.
SemiStep mean_teacher_step(const SemiParts& logits, const Tensor& target, const SemiBatch& batch, double weight);
/// exp(−5 (1 − t / ramp)²), after checking that neither number is negative; `name` is for the error.
optim::Schedule consistency_ramp(const char* name, double weight, int64_t ramp);

/// Mean Teacher (Tarvainen & Valpola, NIPS 2017): CE + w(t) D(f(strong), f_EMA(weak)), the average's prediction a constant. It normalises
/// with its batch's own statistics, as the student does.
template <typename Model>
class MeanTeacher {
 public:
  /// The average starts as `initial`. Throws ValueError for a negative weight or ramp, or a decay outside [0, 1).
  MeanTeacher(const Model& initial, const MeanTeacherOptions& options)
      : options_(options),
        ramp_(consistency_ramp("mean_teacher", options.weight, options.ramp)),
        teacher_(initial, {.decay = options.decay}) {
    teacher_.model.train();
  }
  SemiStep operator()(Model& model, const SemiBatch& batch, int64_t step) {
    if (step > 0) teacher_.update(model);  // with the weights that the last step left
    Tensor target;
    {
      NoGrad no_grad;
      target = teacher_.model(batch.weak);
    }
    return mean_teacher_step(split_views(model(all_views(batch)), batch), target, batch, options_.weight * ramp_(step));
  }

 private:
  MeanTeacherOptions options_;
  optim::Schedule ramp_;
  optim::Ema<Model> teacher_;
};
struct InterpolationConsistencyOptions {
  MixOptions mix = {0.2, 0.2, -1};  ///< of the unlabelled examples
  double weight = 10;
  int64_t ramp = 80;  ///< the weight rises as exp(−5 (1 − t / ramp)²) for so many steps
  ConsistencyCommon common = {};
};
/// Interpolation consistency (Verma et al., IJCAI 2019): mixup CE + w(t) D(f(mix(u)), mix(f(u))), with the present network in place of the
/// published averaged one; logits are interpolated, gradients go into both.
class InterpolationConsistency {
 public:
  /// Throws ValueError for a negative weight or ramp.
  explicit InterpolationConsistency(const InterpolationConsistencyOptions& options = {});
  template <typename Model>
  SemiStep operator()(Model& model, const SemiBatch& batch, int64_t step) {
    Drawn d = draw(batch);
    return from_logits(model(d.images), d, step);
  }

 private:
  struct Drawn {
    MixedLabelled labelled;
    Tensor order, images;  // all that the model is to see
    double lambda;
  };
  Drawn draw(const SemiBatch& batch);
  SemiStep from_logits(const Tensor& rows, const Drawn& d, int64_t step) const;
  InterpolationConsistencyOptions options_;
  optim::Schedule ramp_;
  ConsistencyDraws draws_;
};

struct MixMatchOptions {
  MixOptions mix = {0.75, 0.75, 0};
  double temperature = 0.5;  ///< of guessed labels
  double weight = 10;
  int64_t ramp = 0;               ///< the weight rises evenly for so many steps
  ConsistencyCommon common = {};  ///< its `labelled` is not used: labelled and unlabelled examples are mixed together
};

/// q = sharpen(mean of the two softmaxes, T), outside the graph: [N, K].
Tensor guessed_labels(const Tensor& first, const Tensor& second, double temperature);
/// CE(z[:B], t[:B]) + w · mean (softmax(z[B:]) − t[B:])², over rows and classes, for logits and targets [B + 2N, K].
Tensor mixmatch_loss(const Tensor& logits, const Tensor& targets, int64_t labelled, double weight);

/// MixMatch (Berthelot et al., NeurIPS 2019): labels are guessed from two views of each unlabelled example and sharpened; labelled
/// examples and both views are mixed with one another in random order; CE for the first, squared error for the others.
class MixMatch {
 public:
  /// Throws ValueError for a negative weight or ramp, or unless the temperature is positive.
  explicit MixMatch(const MixMatchOptions& options = {});
  template <typename Model>
  SemiStep operator()(Model& model, const SemiBatch& batch, int64_t step) {
    Tensor views = unlabelled_views(batch), guessed;
    {
      NoGrad no_grad;
      guessed = model(views);
    }
    Mixed m = mixed(batch, views, guessed);
    return from_logits(model(m.images), m, batch, step);
  }

 private:
  struct Mixed {
    Tensor images, targets, guess;
  };
  Tensor unlabelled_views(const SemiBatch& batch);
  Mixed mixed(const SemiBatch& batch, const Tensor& views, const Tensor& logits);
  SemiStep from_logits(const Tensor& logits, const Mixed& m, const SemiBatch& batch, int64_t step) const;
  MixMatchOptions options_;
  optim::Schedule ramp_;
  ConsistencyDraws draws_;
};

}  // namespace plumb::methods

// AdaMixUp (Guo, Mao, Zhang, AAAI 2019): mixup whose share is drawn from an interval that a network chooses for each pair, kept off mixed
// examples that look real ("manifold intrusion") by a discriminator on the classifier's features. All parts minimise one sum.
//   (a, b, c) = softmax(head(trunk((m₁ x₁ + m₂ x₂)/2))),   λ = a + u b,   x = λ x₁ + (1 − λ) x₂,   y = λ y₁ + (1 − λ) y₂
//   loss = CE(classifier([x; x₁]), [y; y₁]) + w · CE₂(discriminator([unseen; x₁; x]), [real; real; mixed])
#pragma once
#include "methods/common/mix_objective.h"
#include "models/nn/linear.h"

namespace plumb::methods::adamixup {

/// The interval [a, a + b] of each pair, [h]; a + b + c = 1, all ≥ 0, and c is what is left over.
struct PolicyRegion {
  Tensor a, b, c;
};
/// softmax of logits [h, 3], by column. Throws ShapeError for another shape.
PolicyRegion policy_region(const Tensor& logits);
/// λ = a + u b, at most 1 (which rounding might exceed); differentiable in the region. u [h] in [0, 1], else ValueError; ShapeError for
/// another number.
Tensor sample_lambda(const PolicyRegion& region, const Tensor& u);

/// What chooses the region from the features of its own trunk: linear, `hidden` units without activation, linear, softmax.
struct RegionHead : nn::Module {
  nn::Linear hidden, out;

  /// Weights start as N(0, std²), biases as 0: with a small std at (1/3, 1/3, 1/3), so that λ ~ U(1/3, 2/3).
  explicit RegionHead(int64_t features, int64_t hidden = 100, double std = 1e-3);
  PolicyRegion operator()(const Tensor& features) const { return policy_region(out(hidden(features))); }
};

/// Is it real (logit 1) or mixed (logit 0)? Linear to as many as there are classes, linear to 2; without activation.
struct IntrusionDiscriminator : nn::Module {
  nn::Linear first, second;

  explicit IntrusionDiscriminator(int64_t features, int64_t classes, double std = 1e-3);
  Tensor operator()(const Tensor& features) const { return second(first(features)); }
};
/// The mean cross-entropy over real [r, 2] and mixed [m, 2] logits. By guessing alone, with twice as many real ones, it is 0.6365.
Tensor intrusion_loss(const Tensor& real, const Tensor& mixed);

/// What is random in a step.
struct Draws {
  Tensor order;                      ///< i64 [B]: the partners are the first half of the batch in this order
  Tensor first_noise, second_noise;  ///< m₁ and m₂, [B/2, ..]: N(0, 1) within ±2
  Tensor u;                          ///< [B/2]
};
/// For examples x [B, ..]. Throws ShapeError for an odd batch or one below 4.
Draws draw(const Tensor& x, Generator& generator);

/// Who computes what. Without `region` λ = a + u b of the options, mixup beside its originals; without `discriminator` there is no
/// intrusion loss.
struct Networks {
  StagedNetwork classifier;                         ///< its features are what the discriminator reads
  std::function<Tensor(const Tensor&)> trunk = {};  ///< pairs [h, ..] → features for `region`
  const RegionHead* region = nullptr;
  const IntrusionDiscriminator* discriminator = nullptr;
};

struct AdaMixUpOptions {
  double intrusion_weight = 1;            ///< w ≥ 0
  double pair_scale = 1, pair_shift = 0;  ///< the trunk reads scale · pair + shift: 2 and −1 in the released code for images in [0, 1]
  double label_smoothing = 0;             ///< of the classification loss
  double a = 0, b = 1;                    ///< without a network for it: the region of all pairs

  /// Throws ValueError for a negative weight, or a region outside [0, 1].
  void check() const;
};

/// A step's loss, and what to watch. Numbers of the mixed half.
struct StepLoss {
  Tensor total;
  double classification = 0, intrusion = 0;  ///< the terms; no intrusion: 0
  double a_mean = 0, a_std = 0, b_mean = 0, b_std = 0, lambda_mean = 0, lambda_std = 0;
  double intrusion_rate = 0;  ///< share of mixed examples that the discriminator takes for real (P > ½)
};
/// x floating [B, ..], B even and at least 4, labels i64 [B]. The first half is mixed with partners, the second is what the discriminator
/// sees as real beside the first. The classification loss is the mean over B/2 mixed and B/2 unmixed examples, the intrusion loss over
/// 3B/2. Nothing is detached: the region gets its gradient from both. The discriminator's pass through the classifier leaves the running
/// statistics of batch norm alone. Throws ShapeError as draw, IndexError for a label outside the classes, ValueError for options.
StepLoss step_loss(const Networks& networks, const Tensor& x, const Tensor& labels, const Draws& draws,
                   const AdaMixUpOptions& options = {});

struct AdaMixUpConfig {
  int64_t features = 64;  ///< of the classifier and of the trunk
  int64_t classes = 10;
  int64_t hidden = 100;  ///< of the region's head
  double region_std = 1e-3, discriminator_std = 1e-3;
  bool region = true, discriminator = true;  ///< false: done without
  AdaMixUpOptions options = {};

  /// Throws ValueError naming what is out of range.
  void check() const;
};

/// AdaMixUp as an objective: trains the classifier it is called with, and the parts in module().
class AdaMixUp : public MixObjective {
 public:
  /// `trunk`: a network of the classifier's form, with weights of its own; needed for the region. Throws ValueError without, and as check.
  explicit AdaMixUp(const AdaMixUpConfig& config, FeatureNetwork trunk = {});
  ~AdaMixUp() override;
  Tensor loss(const StagedNetwork& network, const Tensor& x, const Tensor& labels, Generator& generator) override;
  /// Nothing to train beside the classifier: nullptr.
  nn::Module* module() override;
  /// What the last call of loss measured; its `total` is undefined.
  const StepLoss& report() const { return report_; }

 private:
  struct Parts;
  AdaMixUpConfig config_;
  std::unique_ptr<Parts> parts_;
  StepLoss report_;
};

}  // namespace plumb::methods::adamixup

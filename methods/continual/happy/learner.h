// A small network for category discovery, and the learner that takes it through the stages.
#pragma once
#include <cstdint>
#include <functional>

#include "methods/continual/happy/losses.h"
#include "methods/continual/happy/prototypes.h"
#include "models/nn/containers.h"
#include "models/nn/conv.h"
#include "models/nn/linear.h"
#include "models/nn/norm.h"

namespace plumb::methods::happy {

struct DiscoveryNetConfig {
  int64_t channels = 1, side = 14;  ///< of the images
  int64_t first = 16, second = 32;  ///< channels of the two blocks
  int64_t features = 64, hidden = 128, projected = 64;
  int64_t classes = 4;  ///< known ones
};

/// Two blocks of conv 3×3 – group norm – relu – max pool 2, a linear layer and layer norm, as features of a vision transformer have it
/// (their length keeps the slope of the cosines small); a projector of three layers with GELU; a cosine head with gain 1. The first block
/// (stem) stays as it is once known classes are learned, so that its outputs can be kept.
struct DiscoveryNet : nn::Module {
  explicit DiscoveryNet(const DiscoveryNetConfig& config);
  Tensor stem(const Tensor& images) const;       ///< [B, C, H, W] → what features() takes
  Tensor features(const Tensor& stems) const;    ///< → [B, d]
  Tensor project(const Tensor& features) const;  ///< → [B, D]
  /// The projector as it begins: normal weights of variance 2 / inputs, no biases, so that what contrast compares has a length and no
  /// direction in common.
  void restart_projector(Generator& generator);
  /// All parameters but the stem's.
  std::vector<Tensor> upper_parameters() const;

  DiscoveryNetConfig config;
  nn::Conv2d conv1;
  nn::GroupNorm norm1;
  nn::Conv2d conv2;
  nn::GroupNorm norm2;
  nn::Linear fc;
  nn::LayerNorm norm;
  nn::Sequential projector;
  nn::CosineLinear head;
};

/// Examples of a stage: what features() takes (or, for learn_known, images) of V augmented views of each, and of each as it is.
struct StageInputs {
  Tensor views;  ///< [V, n, ..], V ≥ 2
  Tensor plain;  ///< [n, ..]
};

struct DiscoveryTraining {
  int64_t epochs = 30, batch = 128;                       ///< an epoch is ⌊n / batch⌋ batches (one of all if there are fewer)
  double lr = 0.03, momentum = 0.9, weight_decay = 5e-5;  ///< no decay on biases and norms; the rate falls by cosine to a thousandth
  double clip = 1;  ///< the longest gradient: a new projector's, at first, is far longer than that of what was learned before
  double teacher = 0.07, teacher_end = 0.04;  ///< learn_known: τ_t over the first `teacher_epochs`, ends included
  int64_t teacher_epochs = 3;
  std::function<void(double share)> progress = {};
};

/// τ_t of epoch e = 0, 1, …: from + (to − from) e / (epochs − 1) for e < epochs, then `to`.
double teacher_temperature(int64_t epoch, double from, double to, int64_t epochs);

/// Happy's learner. Everything random follows from the generator that is passed.
class HappyLearner {
 public:
  explicit HappyLearner(const DiscoveryNet& net) : net_(net) {}
  /// Stage 0: the whole network on known_loss; then prototypes and radius of the classes 0 … K − 1 of labels i64 [n]. `inputs` hold images.
  void learn_known(const StageInputs& inputs, const Tensor& labels, const KnownOptions& options, const DiscoveryTraining& training,
                   Generator& generator);
  /// A stage with `k_new` new classes, unlabelled, everything but the stem on happy_terms; then their prototypes by pseudo-labels. Throws
  /// ValueError for k_new < 1, fewer examples than classes, fewer than two views, or before stage 0.
  void discover(const StageInputs& inputs, int64_t k_new, const HappyOptions& options, const DiscoveryTraining& training,
                Generator& generator);
  /// Outside the graph, in parts: features [n, d] and logits [n, K] of what features() takes.
  Tensor features(const Tensor& stems) const;
  Tensor logits(const Tensor& stems) const;
  const DiscoveryNet& net() const { return net_; }
  const PrototypeBank& bank() const { return bank_; }

 private:
  DiscoveryNet net_;
  PrototypeBank bank_;
};

/// stem() of many images, [.., C, H, W] → [.., outputs], outside the graph.
Tensor stems_of(const DiscoveryNet& net, const Tensor& images);

}  // namespace plumb::methods::happy

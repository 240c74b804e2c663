// How a classifier is trained on mixed examples, by name: what `plumb train classifier --mix NAME` and the table of mixing run.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "methods/common/mix_policy.h"
#include "models/nn/module.h"

namespace plumb::methods {

/// The loss of a training batch. It is asked for in training only: evaluation calls the network as it is.
class MixObjective {
 public:
  virtual ~MixObjective() = default;
  /// A scalar to minimise, to be asked for in training mode. x floating [B, ..], labels i64 [B]; everything random is drawn from
  /// `generator`.
  virtual Tensor loss(const StagedNetwork& network, const Tensor& x, const Tensor& labels, Generator& generator) = 0;
  /// What is trained beside the network, or nullptr: give its parameters to the optimiser too, and its state to checkpoints.
  virtual nn::Module* module() { return nullptr; }
};

/// mixed_cross_entropy of mixed_logits.
std::unique_ptr<MixObjective> mixed_cross_entropy_objective(const MixPolicy& policy, double label_smoothing = 0);

/// A network that gives features [B, features], and who owns it.
struct FeatureNetwork {
  std::shared_ptr<nn::Module> module;
  std::function<Tensor(const Tensor&)> features;
};

struct MixObjectiveOptions {
  int64_t classes = 10;
  double alpha = 0;            ///< of λ ~ Beta(α, α); 0: 1, and 2 for manifold-mixup
  double label_smoothing = 0;  ///< of the cross-entropy
  double eta = 0.1;            ///< weight of the decoupled regulariser
  int64_t features = 0;        ///< AdaMixUp: how many the network's head reads
  FeatureNetwork trunk = {};   ///< AdaMixUp: another network of the classifier's form, which chooses the region
};

/// The names that mix_objective takes: none, mixup, cutmix, manifold-mixup, resizemix, fmix, decoupled-mixup, decoupled-cutmix,
/// decoupled-manifold-mixup, decoupled-resizemix, decoupled-fmix, adamixup.
const std::vector<std::string>& mix_names();
/// The policy of those names that say no more than how examples are mixed, "none" to "fmix", so that any loss can follow it; nothing for
/// the others, and for names that are unknown. alpha as in MixObjectiveOptions.
std::optional<MixPolicy> plain_mix_policy(std::string_view name, double alpha = 0);
/// Throws ConfigError for another name, naming these; ValueError for options out of range, among them AdaMixUp without a trunk.
std::unique_ptr<MixObjective> mix_objective(const std::string& name, MixObjectiveOptions options);

}  // namespace plumb::methods

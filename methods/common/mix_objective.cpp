// How a classifier is trained on mixed examples, by name.
#include "methods/common/mix_objective.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>

#include "engine/core/error.h"
#include "methods/regularization/adamixup/adamixup.h"
#include "methods/regularization/decoupled_mixup/decoupled_mixup.h"

namespace plumb::methods {
namespace {

class MixedCrossEntropy : public MixObjective {
 public:
  MixedCrossEntropy(const MixPolicy& policy, double label_smoothing) : policy_(policy), label_smoothing_(label_smoothing) {
    policy.check();
  }
  Tensor loss(const StagedNetwork& network, const Tensor& x, const Tensor& labels, Generator& generator) override {
    MixedLogits m = mixed_logits(policy_, network, x, labels, generator);
    return mixed_cross_entropy(m.logits, m.labels, label_smoothing_);
  }

 private:
  MixPolicy policy_;
  double label_smoothing_;
};

constexpr std::string_view kDecoupled = "decoupled-";

struct NamedPolicy {
  const char* name;
  MixKind kind;
  double alpha;  // unless it is given
};
constexpr std::array kPolicies{NamedPolicy{"none", MixKind::none, 1},        NamedPolicy{"mixup", MixKind::mixup, 1},
                               NamedPolicy{"cutmix", MixKind::cutmix, 1},    NamedPolicy{"manifold-mixup", MixKind::manifold, 2},
                               NamedPolicy{"resizemix", MixKind::resize, 1}, NamedPolicy{"fmix", MixKind::fmix, 1}};

std::unique_ptr<MixObjective> adamixup_objective(const MixObjectiveOptions& o) {
  adamixup::AdaMixUpConfig config{.features = o.features, .classes = o.classes};
  config.options.label_smoothing = o.label_smoothing;
  return std::make_unique<adamixup::AdaMixUp>(config, o.trunk);
}

}  // namespace

std::unique_ptr<MixObjective> mixed_cross_entropy_objective(const MixPolicy& policy, double label_smoothing) {
  return std::make_unique<MixedCrossEntropy>(policy, label_smoothing);
}

const std::vector<std::string>& mix_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> all;
    for (const NamedPolicy& p : kPolicies) all.push_back(p.name);
    for (const NamedPolicy& p : kPolicies)
      if (p.kind != MixKind::none) all.push_back(std::string(kDecoupled) + p.name);
    all.push_back("adamixup");
    return all;
  }();
  return names;
}

std::optional<MixPolicy> plain_mix_policy(std::string_view name, double alpha) {
  for (const NamedPolicy& p : kPolicies)
    if (p.name == name) return MixPolicy{.kind = p.kind, .alpha = alpha > 0 ? alpha : p.alpha};
  return {};
}

std::unique_ptr<MixObjective> mix_objective(const std::string& name, MixObjectiveOptions o) {
  if (std::ranges::find(mix_names(), name) == mix_names().end())
    throw ConfigError(fmt::format("mixing \"{}\" is unknown; choose {}", name, fmt::join(mix_names(), ", ")));
  if (!(o.alpha >= 0)) throw ValueError(fmt::format("mix_objective: alpha must not be negative, it is {}", o.alpha));
  if (name == "adamixup") return adamixup_objective(o);
  bool decoupled = name.starts_with(kDecoupled);
  std::string_view plain = std::string_view(name).substr(decoupled ? kDecoupled.size() : 0);
  MixPolicy policy = *plain_mix_policy(plain, o.alpha);
  if (!decoupled) return mixed_cross_entropy_objective(policy, o.label_smoothing);
  return decoupled_mixup::decoupled_objective(policy, {.eta = o.eta, .label_smoothing = o.label_smoothing});
}

}  // namespace plumb::methods

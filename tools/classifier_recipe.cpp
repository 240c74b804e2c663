// The names of a recipe's pieces, and which of them go together.
#include "tools/classifier_recipe.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "engine/core/error.h"
#include "engine/core/tensor.h"
#include "engine/io/json_fields.h"
#include "methods/common/mix_objective.h"
#include "methods/common/robust_losses.h"
#include "models/require.h"

namespace plumb::tools {

static constexpr auto fields = [](auto& r, auto&& f) {
  f("loss", r.loss), f("mix", r.mix), f("reparam", r.reparam), f("distil", r.distil);
  f("loss_parameter", r.loss_parameter), f("mix_alpha", r.mix_alpha), f("reparam_a", r.reparam_a), f("reparam_b", r.reparam_b);
  f("distil_weight", r.distil_weight);
};

std::string Recipe::to_json() const { return fields_to_json(*this, fields); }
Recipe Recipe::from_json(const std::string& text) { return fields_from_json<Recipe>("recipe", text, fields); }

namespace {

struct NamedLoss {
  const char* name;
  LossParameter parameter;
};

// Beside the cross-entropy and those of methods/common/robust_losses.h.
const std::vector<NamedLoss>& own_losses() {
  static const std::vector<NamedLoss> losses{{"focal", {"gamma", 2}},
                                             {"balanced-softmax", {"lambda", 1}},
                                             {"elr", {"lambda", 3}},
                                             {"ldr-kl", {"lambda", 1}},
                                             {"aldr-kl", {"lambda0", 10}}};
  return losses;
}

bool is_robust(const std::string& name) {
  return name != "ce" && std::ranges::any_of(methods::robust_losses(), [&](const methods::RobustLoss& l) { return name == l.name; });
}

// The loss itself knows what its number may be: better asked before a run is made than in its first step.
void probe(const std::string& loss, double parameter) {
  try {
    methods::find_robust_loss(loss).loss(zeros({2, 2}), tensor({0, 1}), parameter);
  } catch (const ValueError& e) { throw ConfigError(fmt::format("--loss-parameter: {}", e.what())); }
}

template <typename Names>
void require_known(const std::string& option, const std::string& name, const Names& names) {
  require(std::ranges::find(names, name) != names.end(), fmt::format("{} {} is unknown; choose {}", option, name, choices(names)));
}

}  // namespace

std::string choices(const std::vector<std::string>& names) {
  std::string text;
  for (size_t i = 0; i < names.size(); ++i) text += (i == 0 ? "" : i + 1 < names.size() ? ", " : " or ") + names[i];
  return text;
}

std::vector<std::string> loss_names() {
  std::vector<std::string> names{"cross-entropy"};
  for (const NamedLoss& l : own_losses()) names.push_back(l.name);
  for (const methods::RobustLoss& l : methods::robust_losses())
    if (is_robust(l.name)) names.push_back(l.name);
  return names;
}

LossParameter parameter_of_loss(const std::string& loss) {
  for (const NamedLoss& l : own_losses())
    if (loss == l.name) return l.parameter;
  if (is_robust(loss)) {
    const methods::RobustLoss& l = methods::find_robust_loss(loss);
    return {l.parameter, l.usual};
  }
  require_known("--loss", loss, loss_names());
  return {};
}

void set_loss_parameter(Recipe& recipe, std::optional<double> given) {
  LossParameter parameter = parameter_of_loss(recipe.loss);
  require(!given || !parameter.name.empty(), fmt::format("--loss-parameter: --loss {} has none", recipe.loss));
  recipe.loss_parameter = given.value_or(parameter.name.empty() ? 0 : parameter.usual);
}

bool Recipe::mix_has_own_loss() const { return mix != "none" && !methods::plain_mix_policy(mix); }

void Recipe::check() const {
  LossParameter parameter = parameter_of_loss(loss);
  require_known("--mix", mix, methods::mix_names());
  require_known("--reparam", reparam, std::vector<std::string>{"none", "weight-compander"});
  require_known("--distil", distil, std::vector<std::string>{"none", "ps-kd"});
  require(parameter.name.empty() || (std::isfinite(loss_parameter) && loss_parameter >= 0),
          fmt::format("--loss-parameter, {} of {}, must not be negative, it is {}", parameter.name, loss, loss_parameter));
  require(loss_parameter > 0 || (loss != "ldr-kl" && loss != "aldr-kl"),
          fmt::format("--loss-parameter, {} of {}, must be positive", parameter.name, loss));
  if (is_robust(loss)) probe(loss, loss_parameter);
  require(std::isfinite(mix_alpha) && mix_alpha >= 0, fmt::format("--mix-alpha must not be negative, it is {}", mix_alpha));
  require(mix_alpha == 0 || (mix != "none" && mix != "adamixup"), fmt::format("--mix-alpha: --mix {} draws nothing by it", mix));
  require(std::isfinite(reparam_a) && reparam_a > 0 && std::isfinite(reparam_b) && reparam_b > 0,
          fmt::format("--reparam-a and --reparam-b must be positive, they are {} and {}", reparam_a, reparam_b));
  require(distil_weight >= 0 && distil_weight <= 1, fmt::format("--distil-weight must lie in [0, 1], it is {}", distil_weight));
  if (mix_has_own_loss()) {
    require(loss == "cross-entropy",
            fmt::format("--mix {} is a loss of its own, which --loss {} cannot replace; leave one of them out", mix, loss));
    require(distil == "none",
            fmt::format("--mix {} is a loss of its own, in which --distil {} has no place; leave one of them out", mix, distil));
  }
  require(mix == "none" || !loss_remembers(),
          fmt::format("--loss {} remembers what single images are taken for, and --mix {} shows none; leave one of them out", loss, mix));
}

}  // namespace plumb::tools

// What a classifier run is trained by, in pieces that combine: a loss, a way of mixing images, one of computing weights, and one of
// teaching itself, each by its name.
#pragma once
#include <optional>
#include <string>
#include <vector>

namespace plumb::tools {

/// The part of config.json that says so.
struct Recipe {
  std::string loss = "cross-entropy";   ///< one of loss_names()
  std::string mix = "none";             ///< one of methods::mix_names()
  std::string reparam = "none";         ///< or "weight-compander"
  std::string distil = "none";          ///< or "ps-kd"
  double loss_parameter = 0;            ///< the loss's one number, q of gce and so on; of losses that have none 0
  double mix_alpha = 0;                 ///< λ ~ Beta(α, α); 0: the policy's own
  double reparam_a = 2, reparam_b = 1;  ///< in units of each layer's √(2 / fan-in)
  double distil_weight = 0.8;           ///< of what was predicted before, in the last epoch

  std::string to_json() const;
  static Recipe from_json(const std::string& json);

  /// Nothing but the cross-entropy of the labels, or of labels mixed by --mixup and --cutmix.
  bool plain_loss() const { return loss == "cross-entropy" && mix == "none" && distil == "none"; }
  /// The loss keeps something of each image from step to step.
  bool loss_remembers() const { return loss == "elr" || loss == "aldr-kl"; }
  bool remembers() const { return loss_remembers() || distil != "none"; }
  /// Decoupled Mixup and AdaMixUp are losses as well.
  bool mix_has_own_loss() const;
  /// The mixing reaches between the network's features and its head.
  bool mix_needs_features() const { return mix == "adamixup" || mix.ends_with("manifold-mixup"); }

  /// Throws ConfigError in one line for a name that is unknown, naming those that are known, for a number out of range, and for pieces that
  /// do not go together.
  void check() const;
};

/// "cross-entropy", "focal", …, in the order of the help.
std::vector<std::string> loss_names();
/// The name of the loss's number ("q") and its usual value; empty for a loss without. Throws ConfigError for an unknown loss.
struct LossParameter {
  std::string name;
  double usual = 0;
};
LossParameter parameter_of_loss(const std::string& loss);
/// Fills in the loss's number, or its usual one if none is given. Throws ConfigError for a loss that has none.
void set_loss_parameter(Recipe& recipe, std::optional<double> given);
/// "a, b or c".
std::string choices(const std::vector<std::string>& names);

}  // namespace plumb::tools

// The adapters of `plumb finetune`: their settings, how they are put into a model, trained and taken into its weights.
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "methods/common/fisher_space.h"
#include "methods/finetuning/alignguard_lora/alignguard_lora.h"
#include "methods/finetuning/ba_lora/ba_lora.h"
#include "models/nn/low_rank.h"
#include "models/optim/optimizer.h"
#include "tools/command_line.h"

namespace plumb::tools {

/// What the adapters are called in a model.
inline constexpr const char* kAdapterName = "tuned";

struct AdapterSettings {
  std::string adapter = "lora";  ///< lora, dora, pissa, allora, ba-lora or alignguard
  int64_t rank = 8;
  double alpha = 0, dropout = 0;
  std::vector<std::string> targets;
  double eta = 4;                                       ///< allora's
  methods::ba_lora::Penalties penalties;                ///< ba-lora's
  double alignment = 2.5, task = 0.5, collision = 0.1;  ///< alignguard's multipliers, of eigenvalues of at most 1
  int64_t directions = 8, keep_samples = 128;           ///< alignguard's, of each layer; examples that they are measured on

  void define(CommandLine& line);
  /// Throws ConfigError naming the option that is out of range, or of another adapter.
  void check() const;
  /// Throws ConfigError for an option of `line` that is another adapter's.
  void refuse_others(const CommandLine& line) const;
  nn::LowRankOptions options() const;
  bool is(const char* name) const { return adapter == name; }
};

/// An AdapterSettings' entries in a run's list of fields.
template <typename Run, typename F>
void adapter_fields(Run& a, F&& f) {
  f("adapter", a.adapter), f("rank", a.rank), f("alpha", a.alpha), f("dropout", a.dropout), f("targets", a.targets), f("eta", a.eta);
  f("consistency", a.penalties.consistency), f("diversity", a.penalties.diversity), f("spectrum", a.penalties.spectrum);
  f("alignment", a.alignment), f("task", a.task), f("collision", a.collision), f("directions", a.directions),
      f("keep_samples", a.keep_samples);
}

/// Gives adapters to the layers that the settings name, by default to all whose weight is theirs alone: a head that is tied to the token
/// embedding would change that too. Throws ConfigError for such a layer that is named, and as nn::add_adapter.
void add_adapters(nn::Module& model, const AdapterSettings& settings, const nn::LowRankOptions& options);

/// The adapters of a model as a module of their own, so that checkpoints hold what is trained and no more: its parameters are those of the
/// adapters under the names of their layers ("blocks.0.attention.query.up"). It refers to the model.
class TunedPart : public nn::Module {
 public:
  explicit TunedPart(const nn::Module& model);

 protected:
  std::vector<std::pair<std::string, nn::Module*>> heap_children() const override { return adapters_; }

 private:
  std::vector<std::pair<std::string, nn::Module*>> adapters_;
};

/// Σ of losses of single examples is asked for here: f(loss), one after the other, of the behaviour that is to be kept.
using KeptLosses = std::function<void(const std::function<void(const Tensor& loss)>& f)>;

/// A model with new adapters, everything else frozen.
class Tuning {
 public:
  /// `model` must stay. `kept` is called by alignguard alone, before anything is frozen. Throws as add_adapters.
  Tuning(nn::Module& model, const AdapterSettings& settings, const KeptLosses& kept);

  nn::Module& part() { return part_; }
  /// What alignguard adds to the loss of the task; the loss itself for the other adapters.
  Tensor guarded(const Tensor& loss) const;
  /// Gives the optimiser allora's steps.
  void adapt(optim::Optimizer& optimizer, double weight_decay) const;

 private:
  AdapterSettings settings_;
  std::optional<methods::alignguard_lora::AlignGuard> guard_;
  std::vector<nn::LowRankAdapter*> adapters_;
  std::optional<TunedPart> made_;
  nn::Module& part_;

  nn::Module& make_part(nn::Module& model, const KeptLosses& kept);
};

/// Writes an adapter's change into the weights of `model`, which has no adapters: `trained` as a TunedPart's state, with what a principal
/// start took. The adapters stay beside the weights, merged. Throws as add_adapters and nn::load_adapter_state.
void take_in(nn::Module& model, const AdapterSettings& settings, const StateDict& trained);

}  // namespace plumb::tools

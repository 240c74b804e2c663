// Low-rank adapters of linear and convolution layers: LoRA, DoRA and the PiSSA start. What is trained is small, what was there stays.
//
//   nn::add_adapter(model, "poems", {.rank = 8, .alpha = 16}, {"query", "value"});   nn::train_adapters_only(model);
//   …train…   save_safetensors("poems.safetensors", nn::adapter_state(model, "poems"));   nn::merge_adapters(model);
#pragma once
#include <string>
#include <vector>

#include "models/nn/containers.h"
#include "models/nn/dropout.h"

namespace plumb::nn {

enum class LowRankStart : uint8_t {
  zero,       ///< up = 0, down drawn: the layer starts unchanged (Hu et al., ICLR 2022)
  principal,  ///< the largest singular values and vectors move from the weight into the adapter (PiSSA: Meng et al., NeurIPS 2024)
};

struct LowRankOptions {
  int64_t rank = 8;
  double alpha = 0;           ///< the change is scaled by alpha / rank; 0: not scaled
  bool magnitude = false;     ///< DoRA (Liu et al., ICML 2024): the length of each row is a parameter of its own
  LowRankStart start = LowRankStart::zero;
  double dropout = 0;         ///< of what goes into the adapter, in training mode; linear layers without magnitude only
};

/// One change of a weight W, taken as a matrix [size(0), rest]:  W + s · up · down,  s = alpha / rank; with magnitude m:
/// m ⊙ (W + s · up · down) / ‖W + s · up · down‖, row by row. up [size(0), rank], down [rank, rest], magnitude [size(0)].
class LowRankAdapter : public Module {
 public:
  /// Throws ValueError unless 1 ≤ rank ≤ the sides of the matrix. A principal start subtracts what moves into the adapter from `weight`.
  LowRankAdapter(std::string name, Tensor weight, const LowRankOptions& options);

  /// s · up · down in the shape of the weight.
  Tensor change() const;
  /// The changed weight.
  Tensor operator()(const Tensor& weight) const;
  /// s · up · (down · dropout(x)): what a linear layer adds to its output. Only without magnitude.
  Tensor beside(const Tensor& x) const;
  /// What a principal start took from the weight, in its shape; undefined for another start.
  Tensor taken() const;

  const std::string& name() const { return name_; }
  bool has_magnitude() const { return magnitude.defined(); }
  bool has_dropout() const { return dropout_.p() > 0; }

  Parameter down, up, magnitude;
  bool active = true;

 private:
  std::string name_;
  Shape shape_;
  double scale_;
  Dropout dropout_;
  Buffer start_down_, start_up_;  // of a principal start
};

/// The adapters of one layer, under their names. Those that are active change the weight one after the other.
class AdapterSet : public ModuleList<LowRankAdapter> {
 public:
  AdapterSet() { register_buffer("original", original, Tensor()); }
  LowRankAdapter* find(const std::string& name);
  Buffer original;  ///< the weight before merging; undefined, and in no state, if not merged

 protected:
  std::vector<std::pair<std::string, Module*>> heap_children() const override;
};

// -- over a whole model: every Linear and convolution layer below it is a place for adapters -------------------------------------

/// Gives a new adapter to each layer whose dotted name is, or ends in ".", one of `targets` (all layers if there are none). Returns how
/// many. Throws ValueError if no layer fits, one has an adapter of that name, or is merged; nothing is added then.
int64_t add_adapter(Module& model, const std::string& name, const LowRankOptions& options = {},
                    const std::vector<std::string>& targets = {});
/// Takes the adapter away; what a principal start took goes back into the weights. Throws ValueError if there is none, or it is merged.
void remove_adapter(Module& model, const std::string& name);
/// The names in use, each once.
std::vector<std::string> adapter_names(const Module& model);
/// Makes these adapters active and all others idle. Throws ValueError for a name that no layer has, or if adapters are merged.
void use_adapters(Module& model, const std::vector<std::string>& names);
/// Writes the active adapters' changes into the weights, so that layers cost what they did without; unmerge_adapters brings the weights
/// back exactly (they are kept, in the model's state too: the state of a merged model loads into a merged one). Merging twice changes
/// nothing.
void merge_adapters(Module& model);
void unmerge_adapters(Module& model);
/// requires_grad: on for the adapters named (all if none is), off for every other parameter.
void train_adapters_only(Module& model, const std::vector<std::string>& names = {});
/// The parameters of one adapter under the names of their layers: "blocks.0.attention.query.up". And back; throws as Module::load_state
/// does. What a principal start took belongs to the model, not to them: it is in the model's own state.
StateDict adapter_state(const Module& model, const std::string& name);
void load_adapter_state(Module& model, const std::string& name, const StateDict& state);

}  // namespace plumb::nn

// Effective weights, and their average.
#include "models/optim/merged_average.h"

#include <string>

#include "engine/autograd/grad_mode.h"
#include "models/nn/weight_layer.h"
#include "ops/pointwise.h"

namespace plumb::optim {

StateDict merged_state(const nn::Module& model) {
  NoGrad off;
  StateDict state;
  for (auto& [name, module] : model.named_modules()) {
    if (dynamic_cast<nn::AdapterSet*>(module) || dynamic_cast<nn::LowRankAdapter*>(module)) continue;
    std::string prefix = name.empty() ? "" : name + ".";
    if (auto* layer = dynamic_cast<nn::WeightLayer*>(module)) {
      Tensor weight = layer->weight;
      if (layer->adapters && !layer->adapters->original.defined())
        for (const nn::LowRankAdapter& adapter : *layer->adapters)
          if (adapter.active) weight = adapter(weight);
      if (weight.defined()) state[prefix + "weight"] = weight.detach();
    }
  }
  for (const auto& [name, tensor] : model.state())
    if (name.find(".adapters.") == std::string::npos && !name.starts_with("adapters.") && !state.contains(name))
      state[name] = tensor.detach();
  return state;
}

void drop_adapters(nn::Module& model) {
  for (const std::string& name : nn::adapter_names(model)) nn::remove_adapter(model, name);
}

void merged_ema_update(nn::Module& average, const nn::Module& source, double decay) {
  if (!(decay >= 0 && decay <= 1)) throw ValueError("merged_ema_update: the decay " + decimal(decay) + " is outside [0, 1]");
  NoGrad off;
  StateDict from = merged_state(source), into = average.state();
  for (const auto& [name, tensor] : into)
    if (!from.contains(name)) throw ValueError("merged_ema_update: the source has no \"" + name + "\"");
  if (from.size() != into.size()) throw ValueError("merged_ema_update: the average lacks tensors that the source has");
  for (auto& [name, tensor] : into) {
    Tensor target = tensor.detach();
    copy_data(is_floating(target.dtype()) ? lerp(target, from.at(name), 1 - decay) : from.at(name), target);
  }
}

}  // namespace plumb::optim

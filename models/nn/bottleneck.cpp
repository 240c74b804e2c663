// Bottleneck adapters, and putting them into a model.
#include "models/nn/bottleneck.h"

#include <algorithm>

#include "models/nn/init.h"
#include "ops/pointwise.h"

namespace plumb::nn {

Bottleneck::Bottleneck(int64_t width, int64_t inner, BottleneckOptions o)
    : down(width, inner, {true, o.dtype, o.device}), up(inner, width, {true, o.dtype, o.device}), activation_(o.activation) {
  register_module("down", down);
  register_module("up", up);
  init::zeros(up.weight);
  init::zeros(up.bias);
}

Tensor Bottleneck::operator()(const Tensor& x) const { return x + up(activate(activation_, down(x))); }

int64_t add_bottlenecks(Module& model, int64_t inner, BottleneckOptions options) {
  std::vector<std::pair<Module*, BottleneckPlace*>> places;
  for (auto& [name, module] : model.named_modules()) {
    auto* place = dynamic_cast<BottleneckPlace*>(module);
    if (!place) continue;
    if (place->bottleneck) throw ValueError("add_bottlenecks: \"" + name + "\" has one already");
    places.push_back({module, place});
  }
  if (places.empty()) throw ValueError("add_bottlenecks: the model has neither attention nor feed-forward networks");
  for (auto [module, place] : places) {
    module->register_module("bottleneck", place->bottleneck.emplace(place->output_width(), inner, options));
    place->bottleneck->train(module->training());
  }
  return static_cast<int64_t>(places.size());
}

void train_bottlenecks_only(Module& model, const std::vector<std::string>& also) {
  model.requires_grad_(false);
  for (auto& [name, module] : model.named_modules())
    if (auto* bottleneck = dynamic_cast<Bottleneck*>(module)) bottleneck->requires_grad_(true);
  for (const auto& [name, parameter] : model.named_parameters())
    if (std::any_of(also.begin(), also.end(), [&, n = std::string_view(name)](const std::string& end) { return n.ends_with(end); }))
      parameter.requires_grad_(true);
}

}  // namespace plumb::nn

// From a dense GPT to one of experts.
#include "models/moe/gpt.h"

#include <string>
#include <string_view>

#include "ops/shape.h"

namespace plumb::moe {
namespace {

// The name that a tensor of the experts has in a dense model: "blocks.1.moe.experts.up.weight" → "blocks.1.mlp.up.weight".
std::string dense_name(const std::string& name) {
  constexpr std::string_view kExperts = ".moe.experts.";
  size_t at = name.find(kExperts);
  return at == std::string::npos ? name : name.substr(0, at) + ".mlp." + name.substr(at + kExperts.size());
}

bool of_experts(const std::string& name) { return dense_name(name) != name; }

}  // namespace

void upcycle(const StateDict& dense, MoeGpt& model) {
  StateDict state = model.state(), start, taken;
  for (const auto& [name, tensor] : state) {
    if (name.find(".moe.router.") != std::string::npos) {
      start[name] = tensor;
      continue;
    }
    auto found = dense.find(dense_name(name));
    if (found == dense.end())
      throw ValueError("upcycle: the dense model has no " + dense_name(name) + ", which " + name + " would start from");
    Shape wanted = of_experts(name) ? tensor.shape().slice(1, tensor.rank()) : tensor.shape();
    if (found->second.shape() != wanted)
      throw ShapeError("upcycle: " + found->first + " is " + to_string(found->second.shape()) + " in the dense model, " +
                       to_string(wanted) + " in the model" + (of_experts(name) ? " (one expert of " + name + ")" : ""));
    start[name] = expand(found->second.detach(), tensor.shape());
    taken.insert(*found);
  }
  for (const auto& [name, tensor] : dense)
    if (!taken.contains(name)) throw ValueError("upcycle: the model has no place for the dense model's " + name);
  model.load_state(start);
}

}  // namespace plumb::moe

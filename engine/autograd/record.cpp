// Tying a new node into the graph.
#include "engine/autograd/record.h"

#include "engine/autograd/backward.h"
#include "engine/autograd/engine_operations.h"
#include "engine/core/watcher.h"

namespace plumb {
namespace detail {

static int output_place(const Tensor& t, std::span<Tensor> outputs) {
  for (size_t i = 0; i < outputs.size(); ++i)
    if (outputs[i].same_as(t)) return static_cast<int>(i);
  return -1;
}

static bool shares_memory(const TensorImpl& output, const Inputs& inputs) {
  for (size_t i = 0; i < inputs.size(); ++i)
    if (inputs[i].defined() && inputs[i].impl()->storage == output.storage) return true;
  return false;
}

void connect(Node& node, SmallVector<SavedTensor, 2>& saved, const char* name, std::span<Tensor> outputs, const Inputs& inputs,
             const Saving& saving) {
  NodePtr holder = NodePtr::first_owner(&node);
  node.name = name;
  node.sequence = next_sequence();
  node.output_count = static_cast<uint32_t>(outputs.size());
  node.edges.reserve(inputs.size());
  for (size_t i = 0; i < inputs.size(); ++i) node.edges.push_back(edge_of(inputs[i]));
  for (uint32_t i = 0; i < outputs.size(); ++i) {
    if (AnomalyMode::enabled() && is_floating(outputs[i].dtype()) && engine_operations().has_nan(outputs[i]))
      throw AutogradError(std::string("anomaly: ") + name + " made a NaN");
    TensorImpl& out = *outputs[i].impl();
    if (outputs.size() > 1) node.outputs.push_back({out.shape, out.dtype, out.storage->device()});
    if (!is_floating(out.dtype)) continue;
    // A view of memory that the operation made for itself owns it from here on: a write in place goes through this tensor, not through
    // a base that is outside the graph.
    if (out.base && !shares_memory(out, inputs)) out.base = {};
    out.node = i + 1 < outputs.size() ? holder : std::move(holder);  // NOLINT(bugprone-use-after-move): moved with the last
    out.output_index = i;
    out.requires_grad = true;
  }
  saved.reserve(saving.size());
  for (size_t i = 0; i < saving.size(); ++i)
    saved.push_back(saving[i].defined() ? SavedTensor(saving[i], output_place(saving[i], outputs)) : SavedTensor());
  if (watcher()) [[unlikely]] watcher()->operation_recorded(name);
}

}  // namespace detail

Tensor no_derivative(const char* name, Tensor output, const Inputs& inputs) {
  return record(name, std::move(output), inputs, saving(), [name](const Grads&, const Saved&, Needs) -> Grads {
    throw AutogradError(std::string(name) + " has no derivative");
  });
}

}  // namespace plumb

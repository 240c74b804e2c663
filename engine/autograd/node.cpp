// Nodes: their numbering, their destruction, and the place of a view among them.
#include "engine/autograd/node.h"

#include <atomic>
#include <mutex>

#include "engine/autograd/engine_operations.h"
#include "engine/autograd/grad_mode.h"

namespace plumb {

uint64_t next_sequence() {
  static std::atomic<uint64_t> counter{1};
  return counter.fetch_add(1, std::memory_order_relaxed);
}

// Deleting a node drops its inputs' nodes, which would recurse to the depth of the graph. Nodes that die meanwhile are listed instead.
void destroy(Node* node) {
  static thread_local Node* dead = nullptr;
  static thread_local bool draining = false;
  node->next_dead = dead;
  dead = node;
  if (draining) return;
  draining = true;
  while (dead) {
    Node* last = dead;
    dead = last->next_dead;
    delete last;
  }
  draining = false;
}

namespace detail {

const EngineOperations& engine_operations() {
  static const EngineOperations slots = [] {
    EngineOperations s;
    register_engine_operations(s);
    return s;
  }();
  return slots;
}

}  // namespace detail

// The new place: a view of what the base is now.
void detail::refresh_view(TensorImpl& view) {
  TensorImpl& base = *view.base;
  view.writes = base.writes;
  if (!base.requires_grad) {  // overwritten with constants
    if (view.node) {
      view.node = {};
      view.requires_grad = false;
    }
    return;
  }
  if (!base.contiguous)
    throw AutogradError("view: cannot follow a recorded write to a tensor with gaps; make it contiguous before taking views");
  GradMode recording(true);
  int64_t offset = (view.data - base.data) / static_cast<int64_t>(item_size(view.dtype));
  Tensor fresh = detail::engine_operations().as_strided(Tensor(view.base), view.shape, view.strides, offset);
  view.node = fresh.impl()->node;
  view.output_index = fresh.impl()->output_index;
  view.requires_grad = true;
}

}  // namespace plumb

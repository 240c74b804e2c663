// A node of the graph: one recorded operation, what it was computed from, and how a gradient passes through it.
#pragma once
#include <concepts>
#include <cstdint>
#include <memory>
#include <vector>

#include "engine/core/small_vector.h"
#include "engine/core/tensor.h"

namespace plumb {

/// Gradients, one for each output (going in) or input (coming out) of an operation. An undefined tensor stands for none.
class Grads : public SmallVector<Tensor, 3> {
 public:
  Grads() = default;
  /// {da, db}: moved in, which a braced list of tensors could not be.
  template <typename... T>
    requires(sizeof...(T) > 0 && (std::same_as<std::remove_cvref_t<T>, Tensor> && ...))
  Grads(T&&... gradients) {
    reserve(sizeof...(T));
    (push_back(std::forward<T>(gradients)), ...);
  }
};

/// Which inputs of an operation need a gradient; those beyond the 64th always do.
class Needs {
 public:
  explicit Needs(uint64_t bits) : bits_(bits) {}
  bool operator[](size_t input) const { return input >= 64 || (bits_ >> input & 1); }

 private:
  uint64_t bits_;
};

/// Where the gradient of an input goes: an output of another node, or a leaf; nowhere if neither is set.
struct Edge {
  NodePtr node;
  TensorImplPtr leaf;
  uint32_t output_index = 0;
  explicit operator bool() const { return node || leaf; }
};

class Node : public RefCounted, public detail::Pooled {
 public:
  virtual ~Node() = default;
  /// Gradients of the inputs from those of the outputs (all defined), for the inputs that `needs` names.
  virtual Grads backward(const Grads& output_gradients, Needs needs) = 0;
  /// Lets go of what was saved for backward.
  virtual void release() = 0;

  const char* name = "";
  uint64_t sequence = 0;  ///< later operations have larger numbers: the order of the backward pass
  SmallVector<Edge, 3> edges;
  bool released = false;  ///< what it had saved is gone

  struct OutputInfo {
    Shape shape;
    DType dtype;
    Device device;
  };
  std::vector<OutputInfo> outputs;  ///< only kept for several outputs, to fill in gradients of zero
  /// Who wants to see the gradients of which outputs: rarely anybody, so allocated when asked for.
  struct Watchers {
    std::vector<std::pair<uint32_t, GradientHook>> hooks;
    std::vector<std::pair<uint32_t, std::shared_ptr<GradState>>> retained;  ///< outputs that keep their gradient
  };
  std::unique_ptr<Watchers> watchers;
  Watchers& made_watchers() {
    if (!watchers) watchers = std::make_unique<Watchers>();
    return *watchers;
  }
  uint32_t output_count = 1;
  Node* next_dead = nullptr;  ///< for destroying deep graphs without recursion
};

/// The place of `x` in the graph (brought up to date if `x` is a view whose base was written to).
inline Edge edge_of(const Tensor& x) {
  if (!x.requires_grad()) return {};
  TensorImpl* impl = x.impl();
  if (impl->node) return {impl->node, {}, impl->output_index};
  return {{}, TensorImplPtr(impl), 0};
}

/// The next number for a node.
uint64_t next_sequence();

}  // namespace plumb

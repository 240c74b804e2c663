// record: the one way an operation enters the graph.
#pragma once
#include <initializer_list>
#include <span>
#include <type_traits>

#include "engine/autograd/grad_mode.h"
#include "engine/autograd/node.h"
#include "engine/autograd/saved.h"

namespace plumb {

/// The inputs of an operation, by reference: {x, weight} or a vector of tensors.
class Inputs {
 public:
  struct Ref {
    Ref(const Tensor& t) : tensor(&t) {}
    const Tensor* tensor;
  };
  Inputs(std::initializer_list<Ref> refs) : refs_(std::data(refs)), size_(refs.size()) {}  // used within the full expression
  Inputs(const std::vector<Tensor>& tensors) : tensors_(tensors.data()), size_(tensors.size()) {}
  size_t size() const { return size_; }
  const Tensor& operator[](size_t i) const { return tensors_ ? tensors_[i] : *refs_[i].tensor; }

 private:
  const Ref* refs_ = nullptr;
  const Tensor* tensors_ = nullptr;
  size_t size_;
};

/// What an operation keeps for its derivative: saving(x, y). Undefined tensors may be among them.
class Saving {
 public:
  void add(const Tensor& t) { tensors_.push_back(&t); }
  size_t size() const { return tensors_.size(); }
  const Tensor& operator[](size_t i) const { return *tensors_[i]; }

 private:
  SmallVector<const Tensor*, 6> tensors_;
};
/// t, or an undefined tensor in its place: for values that only some gradients need.
inline const Tensor& kept_if(bool needed, const Tensor& t) {
  static const Tensor none;
  return needed ? t : none;
}
template <typename... T>
Saving saving(const T&... tensors) {
  Saving s;
  (s.add(tensors), ...);
  return s;
}
inline Saving saving(const std::vector<Tensor>& tensors) {
  Saving s;
  for (const Tensor& t : tensors) s.add(t);
  return s;
}

namespace detail {

inline bool any_requires_grad(const Inputs& inputs) {
  for (size_t i = 0; i < inputs.size(); ++i)
    if (inputs[i].requires_grad()) return true;
  return false;
}

template <typename Derivative>
class OperationNode final : public Node {
 public:
  explicit OperationNode(Derivative derivative) : derivative_(std::move(derivative)) {}
  Grads backward(const Grads& output_gradients, Needs needs) override { return derivative_(output_gradients, Saved(saved, this), needs); }
  void release() override {
    released = released || !saved.empty();
    saved.clear();
  }
  SmallVector<SavedTensor, 2> saved;

 private:
  Derivative derivative_;
};

/// Names the node (a new one), ties it to its inputs and its outputs, and saves what it needs.
void connect(Node& node, SmallVector<SavedTensor, 2>& saved, const char* name, std::span<Tensor> outputs, const Inputs& inputs,
             const Saving& saving);

template <typename Derivative>
void record_outputs(const char* name, std::span<Tensor> outputs, const Inputs& inputs, const Saving& saving, Derivative&& derivative) {
  if (!grad_enabled() || !any_requires_grad(inputs)) return;
  auto* node = new OperationNode<std::decay_t<Derivative>>(std::forward<Derivative>(derivative));
  connect(*node, node->saved, name, outputs, inputs, saving);
}

}  // namespace detail

/// Records that `output` = name(inputs) and returns it. When a gradient dy of the output arrives, the derivative
///   [captures](const Grads& dy, const Saved& s, Needs needs) -> Grads
/// gives those of the inputs, one each and in order; an entry may be left undefined where needs[i] is false or the gradient is zero.
/// It is written in operations: under create_graph they are recorded, so that it can be differentiated again. Nothing is recorded
/// under NoGrad or when no input requires a gradient.
template <typename Derivative>
Tensor record(const char* name, Tensor output, const Inputs& inputs, const Saving& saving, Derivative&& derivative) {
  detail::record_outputs(name, std::span(&output, 1), inputs, saving, std::forward<Derivative>(derivative));
  return output;
}
/// As above for several outputs; integer and bool outputs get no gradient.
template <size_t N, typename Derivative>
std::array<Tensor, N> record(const char* name, std::array<Tensor, N> outputs, const Inputs& inputs, const Saving& saving,
                             Derivative&& derivative) {
  detail::record_outputs(name, std::span(outputs), inputs, saving, std::forward<Derivative>(derivative));
  return outputs;
}
template <typename Derivative>
std::vector<Tensor> record(const char* name, std::vector<Tensor> outputs, const Inputs& inputs, const Saving& saving,
                           Derivative&& derivative) {
  detail::record_outputs(name, std::span(outputs), inputs, saving, std::forward<Derivative>(derivative));
  return outputs;
}

/// For what has no derivative (selection, integers, random draws): the output may be used freely, but backward through it throws
/// AutogradError "<name> has no derivative".
Tensor no_derivative(const char* name, Tensor output, const Inputs& inputs);

}  // namespace plumb

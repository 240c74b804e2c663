// The members of Tensor that have to do with gradients.
#include "engine/autograd/backward.h"
#include "engine/autograd/engine_operations.h"
#include "engine/autograd/node.h"

namespace plumb {

static GradState& grad_state(const Tensor& t) {
  auto& state = t.impl()->grad_state;
  if (!state) state = std::make_shared<GradState>();
  return *state;
}

Tensor Tensor::requires_grad_(bool on) const {
  if (on && !is_floating(dtype()))
    throw DTypeError("requires_grad_: only floating tensors have gradients, this is " + std::string(name(dtype())));
  if (impl_->node) {
    if (on) return *this;
    throw AutogradError("requires_grad_: only a leaf can give up its gradient; use detach()");
  }
  impl_->requires_grad = on;
  return *this;
}

bool Tensor::is_leaf() const { return !requires_grad() || !impl_->node; }
Tensor Tensor::grad() const { return impl_ && impl_->grad_state ? impl_->grad_state->grad : Tensor(); }

void Tensor::set_grad(Tensor gradient) const {
  if (!gradient.defined()) {
    if (impl_->grad_state) impl_->grad_state->grad = {};
    return;
  }
  if (gradient.shape() != shape())
    throw ShapeError("set_grad: the gradient is " + to_string(gradient.shape()) + ", the tensor " + to_string(shape()));
  if (gradient.dtype() != dtype())
    throw DTypeError("set_grad: the gradient is " + std::string(name(gradient.dtype())) + ", the tensor " + std::string(name(dtype())));
  // Later gradients are added to it in place: an expanded one gets elements of its own.
  bool expanded = false;
  for (int d = 0; d < rank(); ++d) expanded = expanded || (gradient.shape()[d] > 1 && gradient.strides()[d] == 0);
  grad_state(*this).grad = expanded ? detail::engine_operations().clone(gradient) : std::move(gradient);
}

void Tensor::retain_grad() const {
  if (!requires_grad()) throw AutogradError("retain_grad: the tensor does not require a gradient");
  if (!impl_->node || grad_state(*this).retain) return;
  grad_state(*this).retain = true;
  impl_->node->made_watchers().retained.push_back({impl_->output_index, impl_->grad_state});
}

void Tensor::register_hook(GradientHook hook) const {
  if (!requires_grad()) throw AutogradError("register_hook: the tensor does not require a gradient");
  if (!impl_->node) {
    grad_state(*this).hooks.push_back(std::move(hook));
    return;
  }
  impl_->node->made_watchers().hooks.push_back({impl_->output_index, std::move(hook)});
}

void Tensor::backward(const Tensor& gradient, bool retain_graph, bool create_graph) const {
  plumb::backward({*this}, {gradient}, {.create_graph = create_graph, .retain_graph = retain_graph});
}

Tensor Tensor::detach() const { return alias(*this); }

}  // namespace plumb

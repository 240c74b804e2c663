// The derivative of an operation by way of its plain formula: what a fused operation's backward does under create_graph.
#pragma once
#include "engine/autograd/record.h"
#include "ops/tensor_function.h"

namespace plumb {

namespace detail {
/// x under a node of its own, later than any other: a pass that wants its gradient stops there instead of walking the graph behind x.
Tensor identity(const Tensor& x);
}  // namespace detail

/// The gradients of formula(inputs) with respect to those inputs that `needs` names (the rest stay undefined), given those of its
/// outputs. For use in a derivative: when gradients are being recorded (create_graph) the result is part of the graph of `inputs` and
/// `dy`, so it can be differentiated again; otherwise the formula's graph is gone on return. Only the formula's own part of the graph
/// is walked. Inputs may be undefined; so may entries of `dy` (zero).
///   [](const Grads& dy, const Saved& s, Needs needs) -> Grads {
///     if (grad_enabled()) return differentiate(plain_formula, {s[0], s[1]}, dy, needs);
///     return fused_backward(…);
///   }
Grads differentiate(const TensorFunction& formula, const std::vector<Tensor>& inputs, const Grads& dy, Needs needs);

}  // namespace plumb

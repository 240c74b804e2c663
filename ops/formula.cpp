// Differentiating a formula inside a derivative.
#include "ops/formula.h"

#include "engine/autograd/backward.h"

namespace plumb {

Tensor detail::identity(const Tensor& x) {
  return record("identity", view_of(x, x.shape(), x.strides(), 0), {x}, saving(),
                [](const Grads& dy, const Saved&, Needs) -> Grads { return dy[0]; });
}

Grads differentiate(const TensorFunction& formula, const std::vector<Tensor>& inputs, const Grads& dy, Needs needs) {
  bool create_graph = grad_enabled();
  GradMode recording(true);
  std::vector<Tensor> arguments, wanted;
  std::vector<size_t> places;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const Tensor& x = inputs[i];
    if (!x.defined() || !is_floating(x.dtype())) {
      arguments.push_back(x);
      continue;
    }
    bool attached = create_graph && x.requires_grad();
    arguments.push_back(attached ? x : x.detach());
    if (!needs[i]) continue;
    if (!attached) arguments[i].requires_grad_();
    arguments[i] = detail::identity(arguments[i]);
    wanted.push_back(arguments[i]);
    places.push_back(i);
  }
  std::vector<Tensor> outputs = formula(arguments), tied, gradients;
  for (size_t k = 0; k < outputs.size() && k < dy.size(); ++k) {
    if (!dy[k].defined() || !outputs[k].requires_grad()) continue;
    tied.push_back(outputs[k]);
    gradients.push_back(dy[k]);
  }
  Grads result;
  result.resize(inputs.size());
  if (tied.empty() || wanted.empty()) return result;
  std::vector<Tensor> found = grad(tied, wanted, {.create_graph = create_graph, .allow_unused = true}, gradients);
  for (size_t i = 0; i < places.size(); ++i) result[places[i]] = found[i];
  return result;
}

}  // namespace plumb

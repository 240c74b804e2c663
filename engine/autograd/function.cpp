// apply: running a user's forward outside the graph, and recording their backward.
#include "engine/autograd/function.h"

#include "engine/autograd/engine_operations.h"

namespace plumb {

const Tensor& BackwardContext::gradient(size_t k) const {
  if (k >= gradients_.size())
    throw IndexError(std::string(name_) + ": there is no output " + std::to_string(k) + ", there are " + std::to_string(gradients_.size()));
  return gradients_[static_cast<int>(k)];
}

Tensor BackwardContext::input(size_t i) const {
  if (keep_ != Keep::inputs && keep_ != Keep::all) throw AutogradError(std::string(name_) + ": its inputs were not kept for backward");
  if (i >= inputs_)
    throw IndexError(std::string(name_) + ": there is no input " + std::to_string(i) + ", there are " + std::to_string(inputs_));
  return saved_[i];
}

Tensor BackwardContext::output(size_t k) const {
  if (keep_ != Keep::outputs && keep_ != Keep::all) throw AutogradError(std::string(name_) + ": its outputs were not kept for backward");
  if (k >= gradients_.size())
    throw IndexError(std::string(name_) + ": there is no output " + std::to_string(k) + ", there are " + std::to_string(gradients_.size()));
  return saved_[k + (keep_ == Keep::all ? inputs_ : 0)];
}

namespace detail {
namespace {

bool shares_storage(const Tensor& y, const std::vector<Tensor>& inputs) {
  for (const Tensor& x : inputs)
    if (x.defined() && x.impl()->storage == y.impl()->storage) return true;
  return false;
}

std::vector<Tensor> run_unrecorded(const char* name, const std::vector<Tensor>& inputs, const ForwardFunction& forward) {
  NoGrad off;
  std::vector<Tensor> x;
  for (const Tensor& input : inputs) x.push_back(input.defined() ? input.detach() : input);
  std::vector<Tensor> y = forward(x);
  for (size_t k = 0; k < y.size(); ++k)
    if (!y[k].defined()) throw AutogradError(std::string(name) + ": output " + std::to_string(k) + " of its forward has no value");
  for (Tensor& output : y)
    if (output.impl()->base || shares_storage(output, inputs)) output = engine_operations().clone(output);
  return y;
}

}  // namespace

std::vector<Tensor> apply(const char* name, const std::vector<Tensor>& inputs, const ForwardFunction& forward, BackwardFunction backward,
                          Keep keep) {
  std::vector<Tensor> outputs = run_unrecorded(name, inputs, forward);
  std::vector<Shape> shapes;
  std::vector<Tensor> kept;
  for (const Tensor& x : inputs) shapes.push_back(x.defined() ? x.shape() : Shape{});
  if (keep == Keep::inputs || keep == Keep::all) kept = inputs;
  if (keep == Keep::outputs || keep == Keep::all) kept.insert(kept.end(), outputs.begin(), outputs.end());
  return record(name, std::move(outputs), inputs, saving(kept),
                [=, backward = std::move(backward)](const Grads& dy, const Saved& s, Needs needs) -> Grads {
                  Grads g = backward(BackwardContext(name, dy, s, needs, keep, shapes.size()));
                  for (size_t i = 0; i < g.size() && i < shapes.size(); ++i)
                    if (g[i].defined() && g[i].shape() != shapes[i])
                      throw ShapeError(std::string(name) + ": the gradient of input " + std::to_string(i) + " is " +
                                       to_string(g[i].shape()) + ", the input " + to_string(shapes[i]));
                  return g;
                });
}

}  // namespace detail
}  // namespace plumb

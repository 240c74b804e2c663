// Derivatives as functions, all from reverse passes.
#include "ops/functional.h"

#include "engine/autograd/backward.h"
#include "engine/autograd/grad_mode.h"
#include "ops/formula.h"
#include "ops/join.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb {
namespace {

// The inputs as independent variables, tied to the caller's graph only if the result shall be.
std::vector<Tensor> variables(const char* op, const std::vector<Tensor>& inputs, bool create_graph) {
  std::vector<Tensor> x;
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (!is_floating(inputs[i].dtype()))
      throw DTypeError(std::string(op) + ": input " + std::to_string(i) + " is " + std::string(name(inputs[i].dtype())) +
                       "; only floating tensors have derivatives");
    x.push_back(create_graph && inputs[i].requires_grad() ? detail::identity(inputs[i]) : inputs[i].detach().requires_grad_());
  }
  return x;
}

void check_shapes(const char* op, const char* of, const std::vector<Tensor>& v, const std::vector<Tensor>& like) {
  if (v.size() != like.size())
    throw ShapeError(std::string(op) + ": " + std::to_string(v.size()) + " vectors for " + std::to_string(like.size()) + " " + of);
  for (size_t i = 0; i < v.size(); ++i)
    if (v[i].shape() != like[i].shape())
      throw ShapeError(std::string(op) + ": vector " + std::to_string(i) + " is " + to_string(v[i].shape()) + ", of the " + of + " it is " +
                       to_string(like[i].shape()));
}

const Tensor& single_number(const char* op, const std::vector<Tensor>& y) {
  if (y.size() != 1 || y[0].numel() != 1) throw ShapeError(std::string(op) + ": the function must have one output of one element");
  return y[0];
}

// grad() of those outputs that depend on something; zeros where none does.
std::vector<Tensor> gradients(const std::vector<Tensor>& y, const std::vector<Tensor>& x, const std::vector<Tensor>& v, bool create_graph,
                              bool retain_graph = false) {
  std::vector<Tensor> tied, weights, g(x.size());
  for (size_t k = 0; k < y.size(); ++k) {
    if (!y[k].requires_grad()) continue;
    tied.push_back(y[k]);
    weights.push_back(v[k]);
  }
  if (!tied.empty() && !x.empty()) g = grad(tied, x, {create_graph, retain_graph, true}, weights);
  for (size_t i = 0; i < g.size(); ++i)
    if (!g[i].defined()) g[i] = zeros_like(x[i]);
  return g;
}

std::vector<Tensor> detached(std::vector<Tensor> tensors, bool create_graph) {
  if (!create_graph)
    for (Tensor& t : tensors) t = t.detach();
  return tensors;
}

}  // namespace

ProductResult vjp(const TensorFunction& f, const std::vector<Tensor>& inputs, const std::vector<Tensor>& v, FunctionalOptions options) {
  GradMode on(true);
  std::vector<Tensor> x = variables("vjp", inputs, options.create_graph), y = f(x), weights = v;
  if (weights.empty()) weights = {ones_like(single_number("vjp", y))};
  check_shapes("vjp", "outputs", weights, y);
  std::vector<Tensor> g = gradients(y, x, weights, options.create_graph);
  return {detached(std::move(y), options.create_graph), std::move(g)};
}

ProductResult jvp(const TensorFunction& f, const std::vector<Tensor>& inputs, const std::vector<Tensor>& v, FunctionalOptions options) {
  GradMode on(true);
  check_shapes("jvp", "inputs", v, inputs);
  std::vector<Tensor> x = variables("jvp", inputs, options.create_graph), y = f(x), u;
  for (const Tensor& output : y) u.push_back(zeros_like(output).requires_grad_(is_floating(output.dtype())));
  std::vector<Tensor> g = gradients(y, x, u, true), floating = u;
  std::erase_if(floating, [](const Tensor& t) { return !t.requires_grad(); });
  std::vector<Tensor> products = gradients(g, floating, v, options.create_graph);
  for (size_t k = 0; k < u.size(); ++k)
    if (!u[k].requires_grad()) products.insert(products.begin() + static_cast<std::ptrdiff_t>(k), zeros_like(u[k]));
  return {detached(std::move(y), options.create_graph), std::move(products)};
}

ProductResult hvp(const TensorFunction& f, const std::vector<Tensor>& inputs, const std::vector<Tensor>& v, FunctionalOptions options) {
  GradMode on(true);
  check_shapes("hvp", "inputs", v, inputs);
  std::vector<Tensor> x = variables("hvp", inputs, options.create_graph), y = f(x);
  std::vector<Tensor> g = gradients(y, x, {ones_like(single_number("hvp", y))}, true);
  std::vector<Tensor> products = gradients(g, x, v, options.create_graph);
  return {detached(std::move(y), options.create_graph), std::move(products)};
}

std::vector<std::vector<Tensor>> jacobian(const TensorFunction& f, const std::vector<Tensor>& inputs, FunctionalOptions options) {
  GradMode on(true);
  std::vector<Tensor> x = variables("jacobian", inputs, options.create_graph), y = f(x);
  std::vector<std::vector<Tensor>> jacobians;
  for (const Tensor& output : y) {
    std::vector<std::vector<Tensor>> rows(x.size());
    for (int64_t e = 0; e < output.numel(); ++e) {
      Tensor unit = zeros({output.numel()}, output.dtype(), output.device()), one = select(unit, 0, e);
      fill_(one, 1);
      std::vector<Tensor> g = gradients({output}, x, {reshape(unit, output.shape())}, options.create_graph, true);
      for (size_t i = 0; i < x.size(); ++i) rows[i].push_back(g[i]);
    }
    jacobians.emplace_back();
    for (size_t i = 0; i < x.size(); ++i) {
      Shape shape = output.shape();
      for (int64_t size : x[i].shape()) shape.push_back(size);
      jacobians.back().push_back(rows[i].empty() ? zeros(shape, x[i].dtype(), x[i].device()) : reshape(stack(rows[i]), shape));
    }
  }
  return jacobians;
}

std::vector<std::vector<Tensor>> hessian(const TensorFunction& f, const std::vector<Tensor>& inputs, FunctionalOptions options) {
  TensorFunction gradient = [&f](const std::vector<Tensor>& x) {
    std::vector<Tensor> y = f(x);
    return gradients(y, x, {ones_like(single_number("hessian", y))}, true);
  };
  return jacobian(gradient, inputs, options);
}

Tensor jacobian(const TensorFunction& f, const Tensor& x, FunctionalOptions options) {
  auto j = jacobian(f, std::vector<Tensor>{x}, options);
  if (j.size() != 1) throw ShapeError("jacobian: the function has " + std::to_string(j.size()) + " outputs; give its input as a vector");
  return j[0][0];
}
Tensor hessian(const TensorFunction& f, const Tensor& x, FunctionalOptions options) {
  return hessian(f, std::vector<Tensor>{x}, options)[0][0];
}

std::vector<Tensor> per_sample_grad(const TensorFunction& losses, const std::vector<Tensor>& parameters, int64_t batch,
                                    FunctionalOptions options) {
  GradMode on(true);
  std::vector<Tensor> copies;
  for (const Tensor& p : parameters) {
    Shape shape = p.shape();
    shape.insert(0, batch);
    copies.push_back(expand(p, shape));
  }
  std::vector<Tensor> x = variables("per_sample_grad", copies, options.create_graph), y = losses(x);
  if (y.size() != 1 || y[0].shape() != Shape{batch})
    throw ShapeError("per_sample_grad: the losses must be [" + std::to_string(batch) + "], they are " +
                     (y.size() == 1 ? to_string(y[0].shape()) : std::to_string(y.size()) + " tensors"));
  return gradients(y, x, {ones_like(y[0])}, options.create_graph);
}

}  // namespace plumb

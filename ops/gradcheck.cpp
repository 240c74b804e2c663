// Central differences beside grad().
#include "ops/gradcheck.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "engine/autograd/backward.h"
#include "engine/autograd/grad_mode.h"
#include "engine/core/data_kernels.h"
#include "engine/core/generator.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"

namespace plumb {
namespace {

std::string digits(double v) {
  char text[32];
  std::snprintf(text, sizeof text, "%.10g", v);
  return text;
}

void check_inputs(const char* op, const std::vector<Tensor>& inputs) {
  for (size_t i = 0; i < inputs.size(); ++i) {
    const Tensor& x = inputs[i];
    if (is_floating(x.dtype()) && x.dtype() != f64)
      throw DTypeError(std::string(op) + ": input " + std::to_string(i) + " is " + std::string(name(x.dtype())) + "; differences need f64");
    for (int d = 0; d < x.rank(); ++d)
      if (x.shape()[d] > 1 && x.strides()[d] == 0)
        throw ValueError(std::string(op) + ": elements of input " + std::to_string(i) + " overlap (an expanded tensor); clone it first");
    for (size_t j = 0; j < i; ++j)
      if (is_floating(x.dtype()) && x.impl()->storage == inputs[j].impl()->storage)
        throw ValueError(std::string(op) + ": inputs " + std::to_string(j) + " and " + std::to_string(i) +
                         " share memory; clone one of them");
  }
}

Tensor random_like(const Tensor& x, Generator& generator) {
  std::vector<double> values(static_cast<size_t>(x.numel()));
  for (double& v : values) v = 2 * generator.next_double() - 1;
  Tensor host = from_vector(values, x.shape()), w = empty_like(x);
  copy_data(host, w);
  return w;
}

std::vector<Tensor> floating_only(std::vector<Tensor> tensors) {
  std::erase_if(tensors, [](const Tensor& t) { return !is_floating(t.dtype()); });
  return tensors;
}

// The inputs' elements under new handles; floating ones are leaves of a new graph if asked for.
std::vector<Tensor> leaves(const std::vector<Tensor>& inputs, bool tracked) {
  std::vector<Tensor> x;
  for (const Tensor& input : inputs) {
    x.push_back(input.detach());
    if (tracked && is_floating(input.dtype())) x.back().requires_grad_();
  }
  return x;
}

// L(x) = Σ_k ⟨w_k, f(x)_k⟩
class WeightedSum {
 public:
  WeightedSum(const TensorFunction& f, const std::vector<Tensor>& inputs, uint64_t seed) : f_(f), inputs_(inputs), generator_(seed) {}

  double value() {
    NoGrad off;
    std::vector<Tensor> y = outputs(leaves(inputs_, false));
    double total = 0;
    for (size_t k = 0; k < y.size(); ++k) total += sum(y[k] * weights_[k]).item();
    return total;
  }
  // One gradient for each input; undefined where L does not depend on it.
  std::vector<Tensor> gradients() {
    GradMode on(true);
    std::vector<Tensor> x = leaves(inputs_, true), wanted = floating_only(x), y = outputs(x), tied, weights;
    for (size_t k = 0; k < y.size(); ++k) {
      if (!y[k].requires_grad()) continue;
      tied.push_back(y[k]);
      weights.push_back(weights_[k]);
    }
    std::vector<Tensor> g(wanted.size());
    if (!tied.empty() && !wanted.empty()) g = grad(tied, wanted, {.allow_unused = true}, weights);
    std::vector<Tensor> all;
    for (size_t i = 0, next = 0; i < x.size(); ++i) all.push_back(is_floating(x[i].dtype()) ? g[next++] : Tensor());
    return all;
  }

 private:
  std::vector<Tensor> outputs(const std::vector<Tensor>& x) {
    std::vector<Tensor> y = floating_only(f_(x));
    while (weights_.size() < y.size()) weights_.push_back(random_like(y[weights_.size()], generator_));
    return y;
  }
  const TensorFunction& f_;
  const std::vector<Tensor>& inputs_;
  Generator generator_;
  std::vector<Tensor> weights_;
};

// One element of x at its row-major place, to be changed and put back.
class Element {
 public:
  Element(const Tensor& x, int64_t place) : view_(view_of(x, {}, {}, offset(x, place))), before_(view_.item()) {}
  ~Element() { set(before_); }
  void move_by(double d) { set(before_ + d); }

 private:
  static int64_t offset(const Tensor& x, int64_t place) {
    int64_t at = 0;
    for (int d = x.rank() - 1; d >= 0; --d) {
      at += place % x.shape()[d] * x.strides()[d];
      place /= x.shape()[d];
    }
    return at;
  }
  void set(double v) { kernel::fill(view_.device(), v, view_); }
  Tensor view_;
  double before_;
};

GradcheckResult compare(const char* op, const TensorFunction& f, const std::vector<Tensor>& inputs, const GradcheckOptions& options) {
  check_inputs(op, inputs);
  if (std::ranges::none_of(inputs, [](const Tensor& x) { return is_floating(x.dtype()); }))
    throw ValueError(std::string(op) + ": there is no floating input to take a derivative in");
  WeightedSum loss(f, inputs, options.seed);
  std::vector<Tensor> analytic = loss.gradients();
  GradcheckResult result;
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (!is_floating(inputs[i].dtype())) continue;
    std::vector<double> g(static_cast<size_t>(inputs[i].numel()), 0.0);
    if (analytic[i].defined()) g = to_vector<double>(analytic[i]);
    for (size_t e = 0; e < g.size(); ++e) {
      Element element(inputs[i], static_cast<int64_t>(e));
      element.move_by(options.eps);
      double above = loss.value();
      element.move_by(-options.eps);
      double numeric = (above - loss.value()) / (2 * options.eps), error = std::abs(g[e] - numeric);
      if (error > result.worst_error || error != error) result.worst_error = error;
      if (error <= options.atol + options.rtol * std::abs(numeric) || !result.passed) continue;
      result.passed = false;
      result.message = std::string(op) + ": input " + std::to_string(i) + " of shape " + to_string(inputs[i].shape()) + ", element " +
                       std::to_string(e) + ": the gradient is " + digits(g[e]) + ", differences give " + digits(numeric);
    }
  }
  return result;
}

}  // namespace

void GradcheckResult::throw_if_failed() const {
  if (!passed) throw AutogradError(message);
}

GradcheckResult gradcheck(const TensorFunction& f, const std::vector<Tensor>& inputs, GradcheckOptions options) {
  return compare("gradcheck", f, inputs, options);
}

GradcheckResult gradgradcheck(const TensorFunction& f, const std::vector<Tensor>& inputs, GradcheckOptions options) {
  check_inputs("gradgradcheck", inputs);
  size_t count = inputs.size();
  std::vector<Tensor> all = inputs;
  {
    NoGrad off;
    Generator generator(options.seed + 1);
    for (const Tensor& y : floating_only(f(leaves(inputs, false)))) all.push_back(random_like(y, generator));
  }
  // (x.., dy..) ↦ the gradients of f at x for dy. Differentiated, it takes the formulas; evaluated alone, the fused kernels.
  TensorFunction gradient = [&f, count](const std::vector<Tensor>& arguments) {
    bool create_graph = grad_enabled();
    GradMode on(true);
    std::vector<Tensor> x, wanted, tied, weights;
    for (size_t i = 0; i < count; ++i) {
      x.push_back(create_graph || !is_floating(arguments[i].dtype()) ? arguments[i] : arguments[i].detach().requires_grad_());
      if (is_floating(x[i].dtype())) wanted.push_back(x[i]);
    }
    std::vector<Tensor> y = floating_only(f(x));
    for (size_t k = 0; k < y.size(); ++k) {
      if (!y[k].requires_grad()) continue;
      tied.push_back(y[k]);
      weights.push_back(arguments[count + k]);
    }
    std::vector<Tensor> g(wanted.size());
    if (!tied.empty() && !wanted.empty()) g = grad(tied, wanted, {.create_graph = create_graph, .allow_unused = true}, weights);
    for (size_t i = 0; i < g.size(); ++i)
      if (!g[i].defined()) g[i] = zeros_like(wanted[i]);
    return g;
  };
  return compare("gradgradcheck", gradient, all, options);
}

}  // namespace plumb

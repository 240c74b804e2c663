// Draws from the gamma family and Poisson: parameters broadcast and checked, counters taken, results brought to the asked type.
#include "ops/distributions.h"

#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

#include "engine/autograd/record.h"
#include "ops/elementary.h"
#include "ops/kernels/distributions.h"
#include "ops/pointwise.h"
#include "ops/pointwise_call.h"
#include "ops/shape.h"
#include "ops/softmax.h"

namespace plumb {
namespace {

// A counter a number.
RandomPlace take(Generator* given, int64_t n) {
  Generator& g = given ? *given : default_generator();
  return {g.seed(), g.take(static_cast<uint64_t>(n))};
}

void require_floating(const char* op, DType t) {
  if (!is_floating(t)) throw DTypeError(std::string(op) + ": gives floating tensors, not " + std::string(name(t)));
}

void check_place(const char* op, const char* what, const char* wanted, const Tensor& parameter, int64_t bad) {
  if (bad < 0) return;
  double value = to_vector(parameter)[static_cast<size_t>(bad)];
  throw ValueError(std::string(op) + ": " + what + " " + decimal(value) + " (element " + std::to_string(bad) + ") is not " + wanted);
}

// log G of every element, f64, outside the graph.
Tensor log_gamma_of(const char* op, const char* what, const Tensor& concentration, Generator* generator) {
  Tensor a = contiguous_data(to(concentration.detach(), f64)), out = empty(a.shape(), f64, a.device(), op);
  int64_t bad = -1;
  Generator& g = generator ? *generator : default_generator();
  Generator before = g;
  kernel::log_gamma_draw(a.device(), take(&g, a.numel()), a, out, bad);
  if (bad >= 0) g = before;  // a draw that failed took nothing
  check_place(op, what, "positive and finite", a, bad);
  return out;
}

// Parameters of one shape, and the type of the result.
struct Parameters {
  Tensor a, b;
  DType dtype;
};
Parameters broadcast(const char* op, const Tensor& a, const Tensor& b) {
  DType t = promote(a.dtype(), b.dtype());
  require_floating(op, t);
  detail::check_same_device(op, a, b);
  Shape shape = broadcast_shapes(op, a.shape(), b.shape());
  return {expand(a.detach(), shape), expand(b.detach(), shape), t};
}

Tensor parameter(const Shape& shape, double value, const RandomOptions& o) { return expand(full(Shape{}, value, f64, o.device), shape); }

void check_rate(const Tensor& rate) {
  std::vector<double> r = to_vector(rate);
  for (size_t i = 0; i < r.size(); ++i)
    if (!(r[i] > 0) || std::isinf(r[i])) check_place("gamma", "rate", "positive and finite", rate, static_cast<int64_t>(i));
}

Tensor gamma_values(const Tensor& concentration, const Tensor& rate, DType t, Generator* generator) {
  check_rate(rate);
  return to(exp(log_gamma_of("gamma", "concentration", concentration, generator)) / to(rate, f64), t);
}

Tensor beta_values(const Tensor& a, const Tensor& b, DType t, Generator* generator) {
  check_place("beta", "b", "positive and finite", b, [&] {  // before a is drawn, so that a failed draw takes nothing
    std::vector<double> v = to_vector(b);
    for (size_t i = 0; i < v.size(); ++i)
      if (!(v[i] > 0) || std::isinf(v[i])) return static_cast<int64_t>(i);
    return int64_t{-1};
  }());
  Tensor first = log_gamma_of("beta", "a", a, generator), second = log_gamma_of("beta", "b", b, generator);
  return to(sigmoid(first - second), t);
}

Tensor poisson_values(const Tensor& rate, DType t, Generator* generator) {
  Tensor r = contiguous_data(to(rate.detach(), f64)), out = empty(r.shape(), f64, r.device(), "poisson");
  int64_t bad = -1;
  Generator& g = generator ? *generator : default_generator();
  Generator before = g;
  kernel::poisson_draw(r.device(), take(&g, r.numel()), r, out, bad);
  if (bad >= 0) g = before;
  check_place("poisson", "rate", "finite and not negative", r, bad);
  return to(out, t);
}

}  // namespace

Tensor gamma(const Tensor& concentration, const Tensor& rate, Generator* generator) {
  Parameters p = broadcast("gamma", concentration, rate);
  return no_derivative("gamma", gamma_values(p.a, p.b, p.dtype, generator), {concentration, rate});
}
Tensor gamma(const Shape& shape, double concentration, double rate, RandomOptions o) {
  require_floating("gamma", o.dtype);
  return gamma_values(parameter(shape, concentration, o), parameter(shape, rate, o), o.dtype, o.generator);
}

Tensor beta(const Tensor& a, const Tensor& b, Generator* generator) {
  Parameters p = broadcast("beta", a, b);
  return no_derivative("beta", beta_values(p.a, p.b, p.dtype, generator), {a, b});
}
Tensor beta(const Shape& shape, double a, double b, RandomOptions o) {
  require_floating("beta", o.dtype);
  return beta_values(parameter(shape, a, o), parameter(shape, b, o), o.dtype, o.generator);
}

Tensor dirichlet(const Tensor& concentration, Generator* generator) {
  require_floating("dirichlet", concentration.dtype());
  if (concentration.rank() == 0) throw ShapeError("dirichlet: needs a dimension of classes, the shape is []");
  Tensor y = to(softmax(log_gamma_of("dirichlet", "concentration", concentration, generator), -1), concentration.dtype());
  return no_derivative("dirichlet", y, {concentration});
}

Tensor poisson(const Tensor& rate, Generator* generator) {
  require_floating("poisson", rate.dtype());
  return no_derivative("poisson", poisson_values(rate, rate.dtype(), generator), {rate});
}
Tensor poisson(const Shape& shape, double rate, RandomOptions o) {
  require_floating("poisson", o.dtype);
  return poisson_values(parameter(shape, rate, o), o.dtype, o.generator);
}

}  // namespace plumb

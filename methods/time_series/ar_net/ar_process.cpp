// Simulation of autoregressive processes.
#include "methods/time_series/ar_net/ar_process.h"

#include <fmt/format.h>

#include <cmath>
#include <vector>

#include "engine/core/error.h"
#include "ops/random.h"

namespace plumb::methods::ar_net {
namespace {

std::vector<double> checked(const char* op, const Tensor& w) {
  if (w.rank() != 1) throw ShapeError(fmt::format("{}: takes coefficients [p], got {}", op, to_string(w.shape())));
  return to_vector(w);
}

// φ_{m−1,i} = (φ_{m,i} + φ_{m,m} φ_{m,m−i}) / (1 − φ_{m,m}²)
bool stationary(std::vector<double> a) {
  while (!a.empty()) {
    size_t m = a.size();
    double last = a[m - 1];
    if (!(std::abs(last) < 1)) return false;
    std::vector<double> shorter(m - 1);
    for (size_t i = 0; i + 1 < m; ++i) shorter[i] = (a[i] + last * a[m - 2 - i]) / (1 - last * last);
    a = std::move(shorter);
  }
  return true;
}

std::vector<double> drawn(int64_t order, Generator& g) {
  std::vector<double> w(static_cast<size_t>(order));
  double total = 0, mean = 0;
  for (double& v : w) v = 2 * g.next_double() - 1, total += std::abs(v);
  double factor = total > 1 ? (0.5 + 0.5 * g.next_double()) / total : 1;
  for (double& v : w) v *= factor, mean += v / static_cast<double>(order);
  for (double& v : w) v -= mean;
  return w;
}

}  // namespace

bool is_stationary(const Tensor& coefficients) { return stationary(checked("is_stationary", coefficients)); }

Tensor random_ar_coefficients(int64_t order, Generator& generator) {
  if (order < 1) throw ValueError(fmt::format("random_ar_coefficients: the order must be at least 1, it is {}", order));
  std::vector<double> w = drawn(order, generator);
  while (!stationary(w)) w = drawn(order, generator);
  return from_vector(w);
}

Tensor simulate_ar(const Tensor& coefficients, int64_t n, Generator& generator, const ArSimulation& o) {
  std::vector<double> w = checked("simulate_ar", coefficients);
  if (n < 1 || o.burn < 0 || !(o.noise >= 0))
    throw ValueError(fmt::format("simulate_ar: {} steps after {} with noise {}; these must be ≥ 1, ≥ 0 and ≥ 0", n, o.burn, o.noise));
  if (!stationary(w)) throw ValueError("simulate_ar: the process is not stationary");
  std::vector<double> y = to_vector(randn({o.burn + n}, {.dtype = f64, .generator = &generator}));
  for (size_t t = 0; t < y.size(); ++t) {
    y[t] *= o.noise;
    for (size_t i = 0; i < w.size() && i < t; ++i) y[t] += w[i] * y[t - 1 - i];
  }
  y.erase(y.begin(), y.begin() + o.burn);
  double mean = 0;
  for (double v : y) mean += v / static_cast<double>(n);
  if (o.centred)
    for (double& v : y) v -= mean;
  return from_vector(y);
}

}  // namespace plumb::methods::ar_net

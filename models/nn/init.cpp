// Initialisers. Numbers are drawn and computed in f64, then rounded to the parameter's type.
#include "models/nn/init.h"

#include <cmath>
#include <numbers>

#include "engine/core/parallel.h"
#include "ops/special_functions.h"

namespace plumb::nn::init {
namespace {

void write(const std::vector<double>& values, Tensor& t) { copy_data(from_vector(values, t.shape()), t); }

// n numbers in [0, 1), two from each Philox counter.
std::vector<double> uniforms(int64_t n, Generator& generator) {
  std::vector<double> u(static_cast<size_t>(n));
  uint64_t seed = generator.seed(), first = generator.take(static_cast<uint64_t>(n + 1) / 2);
  parallel_for(n, 4096, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      auto words = philox(seed, first + static_cast<uint64_t>(i) / 2);
      size_t w = static_cast<size_t>(i % 2) * 2;
      uint64_t bits = (uint64_t{words[w]} << 32) | words[w + 1];
      u[static_cast<size_t>(i)] = static_cast<double>(bits >> 11) * 0x1p-53;
    }
  });
  return u;
}

// Box and Muller 1958: two normals from two uniforms.
std::vector<double> normals(int64_t n, Generator& generator) {
  std::vector<double> x = uniforms(n + n % 2, generator);
  for (size_t i = 0; i + 1 < x.size(); i += 2) {
    double radius = std::sqrt(-2 * std::log1p(-x[i])), angle = 2 * std::numbers::pi * x[i + 1];
    x[i] = radius * std::cos(angle);
    x[i + 1] = radius * std::sin(angle);
  }
  x.resize(static_cast<size_t>(n));
  return x;
}

double normal_cdf(double x) { return 0.5 * std::erfc(-x / std::numbers::sqrt2); }

struct Fans {
  double in, out;
};
Fans fans(const char* name, const Tensor& t) {
  if (t.rank() < 2) throw ShapeError(std::string(name) + ": needs a weight [out, in, ..], the shape is " + to_string(t.shape()));
  double kernel = static_cast<double>(numel(t.shape().slice(2, t.rank())));
  return {static_cast<double>(t.size(1)) * kernel, static_cast<double>(t.size(0)) * kernel};
}

}  // namespace

void constant(Tensor t, double value) { copy_data(scalar_tensor(value, f64), t); }
void zeros(Tensor t) { constant(t, 0); }
void ones(Tensor t) { constant(t, 1); }

void eye(Tensor t) {
  if (t.rank() != 2) throw ShapeError("eye: needs a matrix, the shape is " + to_string(t.shape()));
  std::vector<double> values(static_cast<size_t>(t.numel()));
  for (int64_t i = 0; i < std::min(t.size(0), t.size(1)); ++i) values[static_cast<size_t>(i * t.size(1) + i)] = 1;
  write(values, t);
}

void uniform(Tensor t, double low, double high, Generator& generator) {
  if (!(low <= high)) throw ValueError("uniform: the range [" + std::to_string(low) + ", " + std::to_string(high) + ") is empty");
  std::vector<double> values = uniforms(t.numel(), generator);
  for (double& v : values) v = low + (high - low) * v;
  write(values, t);
}

void normal(Tensor t, double mean, double std, Generator& generator) {
  if (!(std >= 0)) throw ValueError("normal: the standard deviation is " + std::to_string(std));
  std::vector<double> values = normals(t.numel(), generator);
  for (double& v : values) v = mean + std * v;
  write(values, t);
}

// By the inverse distribution function: u uniform on [Φ(low), Φ(high)], x = Φ⁻¹(u) = √2 erf⁻¹(2u − 1).
void truncated_normal(Tensor t, double mean, double std, double low, double high, Generator& generator) {
  if (!(std > 0 && low < high)) throw ValueError("truncated_normal: needs std > 0 and low < high");
  double from = normal_cdf((low - mean) / std), to = normal_cdf((high - mean) / std);
  std::vector<double> values = uniforms(t.numel(), generator);
  for (double& v : values) v = std::clamp(mean + std * std::numbers::sqrt2 * special::erfinv(2 * (from + (to - from) * v) - 1), low, high);
  write(values, t);
}

void xavier_uniform(Tensor t, double gain, Generator& generator) {
  Fans f = fans("xavier_uniform", t);
  double bound = gain * std::sqrt(6 / (f.in + f.out));
  uniform(t, -bound, bound, generator);
}
void xavier_normal(Tensor t, double gain, Generator& generator) {
  Fans f = fans("xavier_normal", t);
  normal(t, 0, gain * std::sqrt(2 / (f.in + f.out)), generator);
}
void kaiming_uniform(Tensor t, double gain, Fan fan, Generator& generator) {
  Fans f = fans("kaiming_uniform", t);
  double bound = gain * std::sqrt(3 / (fan == Fan::in ? f.in : f.out));
  uniform(t, -bound, bound, generator);
}
void kaiming_normal(Tensor t, double gain, Fan fan, Generator& generator) {
  Fans f = fans("kaiming_normal", t);
  normal(t, 0, gain / std::sqrt(fan == Fan::in ? f.in : f.out), generator);
}

// Gram–Schmidt (twice, which is enough) on normal vectors; a rotation-invariant start, so the result is uniform over orthogonal matrices.
void orthogonal(Tensor t, double gain, Generator& generator) {
  fans("orthogonal", t);
  int64_t rows = t.size(0), columns = t.numel() / std::max<int64_t>(1, rows), count = std::min(rows, columns), length = std::max(rows, columns);
  std::vector<double> q = normals(count * length, generator);
  auto dot = [&](const double* a, const double* b) {
    double s = 0;
    for (int64_t i = 0; i < length; ++i) s += a[i] * b[i];
    return s;
  };
  for (int64_t k = 0; k < count; ++k) {
    double* v = q.data() + k * length;
    for (int pass = 0; pass < 2; ++pass)
      for (int64_t j = 0; j < k; ++j) {
        double along = dot(v, q.data() + j * length);
        for (int64_t i = 0; i < length; ++i) v[i] -= along * q[static_cast<size_t>(j * length + i)];
      }
    double scale = 1 / std::sqrt(dot(v, v));
    for (int64_t i = 0; i < length; ++i) v[i] *= scale;
  }
  std::vector<double> values(q.size());
  for (int64_t k = 0; k < count; ++k)
    for (int64_t i = 0; i < length; ++i)
      values[static_cast<size_t>(rows <= columns ? k * length + i : i * count + k)] = gain * q[static_cast<size_t>(k * length + i)];
  write(values, t);
}

}  // namespace plumb::nn::init

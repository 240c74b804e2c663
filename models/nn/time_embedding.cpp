// Time embeddings, forward.
#include "models/nn/time_embedding.h"

#include <cmath>
#include <numbers>

#include "ops/elementary.h"
#include "ops/join.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/shape.h"

namespace plumb::nn {
namespace {

void check(const char* op, const Tensor& t) {
  if (t.rank() != 1 || !is_floating(t.dtype()))
    throw ShapeError(std::string(op) + ": takes a floating vector of times, got " + std::string(name(t.dtype())) + " " +
                     to_string(t.shape()));
}

int64_t half(const char* op, int64_t dim) {
  if (dim < 2 || dim % 2 != 0)
    throw ValueError(std::string(op) + ": the dimension must be even and positive, it is " + std::to_string(dim));
  return dim / 2;
}

Tensor waves(const Tensor& t, const Tensor& frequencies) {
  Tensor angle = unsqueeze(t, 1) * frequencies;
  return cat({cos(angle), sin(angle)}, 1);
}

}  // namespace

Tensor timestep_embedding(const Tensor& t, int64_t dim, double period) {
  check("timestep_embedding", t);
  int64_t n = half("timestep_embedding", dim);
  std::vector<double> frequencies(static_cast<size_t>(n));
  for (int64_t i = 0; i < n; ++i) frequencies[static_cast<size_t>(i)] = std::pow(period, -static_cast<double>(i) / static_cast<double>(n));
  return waves(t, to(to(from_vector(frequencies), compute_dtype(t.dtype())), t.device()));
}

FourierEmbedding::FourierEmbedding(int64_t dim, FourierEmbeddingOptions o) {
  Tensor f = randn({half("fourier_embedding", dim)}, {.dtype = o.dtype, .device = o.device});
  register_buffer("freqs", freqs, f * o.scale);
}

Tensor FourierEmbedding::operator()(const Tensor& t) const {
  check("fourier_embedding", t);
  return waves(t, freqs * (2 * std::numbers::pi));
}

}  // namespace plumb::nn

// Tensors scaled by their length. Written in differentiable operations, so the derivatives follow.
#include "ops/normalize.h"

#include <cmath>

#include "engine/autograd/grad_mode.h"
#include "ops/elementary.h"
#include "ops/join.h"
#include "ops/matmul.h"
#include "ops/norm_formula.h"
#include "ops/pointwise.h"
#include "ops/pointwise_call.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb {
namespace detail {

// Where the sum is 0 the root is taken of 1 and thrown away, so that its infinite slope never meets a zero.
Tensor vector_length(const char* op, const Tensor& input, double p, const std::vector<int>& dims, bool keepdim) {
  if (!(p >= 1)) throw ValueError(std::string(op) + ": p must be 1 or more, it is " + decimal(p));
  Tensor x = floating(input);
  if (std::isinf(p)) return amax(abs(x), dims, keepdim);
  if (p == 1) return sum(abs(x), dims, keepdim);
  Tensor total = sum(p == 2 ? square(x) : pow(abs(x), p), dims, keepdim), zero = total == 0;
  Tensor safe = where(zero, 1, total);
  return where(zero, 0, p == 2 ? sqrt(safe) : pow(safe, 1 / p));
}

}  // namespace detail

namespace {

// x in the type that sums of its squares are to be taken in.
Tensor for_sums(const Tensor& x) { return to(x, compute_dtype(detail::floating(x).dtype())); }
DType result_type(const Tensor& x) { return detail::floating(x).dtype(); }

}  // namespace

Tensor normalize(const Tensor& x, double p, int dim, double eps) {
  dim = checked_dim("normalize", dim, x.rank());
  Tensor v = for_sums(x);
  std::vector<int> dims;
  if (x.rank() > 0) dims = {dim};
  return to(v / clamp_min(detail::vector_length("normalize", v, p, dims, true), eps), result_type(x));
}

Tensor local_response_norm(const Tensor& x, int64_t size, double alpha, double beta, double k) {
  if (x.rank() < 2) throw ShapeError("local_response_norm: x must be [n, channels, ..], it is " + to_string(x.shape()));
  if (size < 1) throw ValueError("local_response_norm: size must be 1 or more, it is " + std::to_string(size));
  Tensor v = for_sums(x), squares = square(v);
  auto border = [&](int64_t width) {
    Shape s = v.shape();
    s[1] = width;
    return zeros(s, v.dtype(), v.device());
  };
  Tensor padded = cat({border(size / 2), squares, border((size - 1) / 2)}, 1);
  Tensor around = sum(sliding_window(padded, 1, size, 1), {-1});
  return to(v / pow(around * (alpha / static_cast<double>(size)) + k, beta), result_type(x));
}

Tensor weight_norm(const Tensor& v, const Tensor& g, int dim) {
  dim = checked_dim("weight_norm", dim, v.rank());
  Shape along = Shape::filled(v.rank(), 1);
  if (v.rank() > 0) along[dim] = v.size(dim);
  if (g.numel() != numel(along) || (g.rank() != 1 && g.shape() != along))
    throw ShapeError("weight_norm: g is " + to_string(g.shape()) + "; v " + to_string(v.shape()) + " along dimension " +
                     std::to_string(dim) + " takes " + to_string(along));
  std::vector<int> others;
  for (int d = 0; d < v.rank(); ++d)
    if (d != dim) others.push_back(d);
  Tensor x = for_sums(v), length = others.empty() ? abs(x) : detail::vector_length("weight_norm", x, 2, others, true);
  return to(x * (reshape(to(g, x.dtype()), along) / length), result_type(v));
}

SpectralNorm spectral_norm(const Tensor& w, const Tensor& start, int iterations, int dim, double eps) {
  if (w.rank() < 2) throw ShapeError("spectral_norm: w must have two dimensions or more, it is " + to_string(w.shape()));
  if (iterations < 0) throw ValueError("spectral_norm: iterations must not be negative, they are " + std::to_string(iterations));
  dim = checked_dim("spectral_norm", dim, w.rank());
  if (start.shape() != Shape{w.size(dim)})
    throw ShapeError("spectral_norm: u must be [" + std::to_string(w.size(dim)) + "], it is " + to_string(start.shape()));
  Tensor x = for_sums(w), matrix = reshape(movedim(x, dim, 0), {w.size(dim), -1}), u, v;
  {
    NoGrad off;
    u = to(start.detach(), x.dtype());
    v = normalize(matmul(mT(matrix), u), 2, 0, eps);
    for (int i = 0; i < iterations; ++i) {
      u = normalize(matmul(matrix, v), 2, 0, eps);
      v = normalize(matmul(mT(matrix), u), 2, 0, eps);
    }
  }
  Tensor sigma = dot(u, matmul(matrix, v));
  return {to(x / sigma, result_type(w)), sigma, u, v};
}

}  // namespace plumb

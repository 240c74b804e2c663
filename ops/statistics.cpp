// Variance, norms and log-sum-exp. 16-bit types are taken in f32, so that squares and sums neither overflow nor lose their digits.
#include <cmath>

#include "engine/autograd/record.h"
#include "ops/elementary.h"
#include "ops/pointwise.h"
#include "ops/pointwise_call.h"
#include "ops/reduce.h"
#include "ops/reduce_call.h"
#include "ops/shape.h"

namespace plumb {
namespace {

// f(x) for floating x of 32 bits and more, the others by way of f32.
template <typename F>
Tensor in_full_precision(const Tensor& x, F&& f) {
  if (x.dtype() == f64 || x.dtype() == f32) return f(x);
  Tensor y = f(to(x, f32));
  return is_floating(x.dtype()) ? to(y, x.dtype()) : y;
}

Tensor reduce_shifted(ShiftedReduceOp op, const char* name, const Tensor& x, const Tensor& shift, const detail::ReducedDims& d) {
  Tensor y = empty(d.outer, x.dtype(), x.device(), name);
  kernel::reduce_shifted(x.device(), op, x, shift, d.outer, d.outer_strides, d.reduced, d.reduced_strides, y);
  return y;
}

// Σ (x − mean)² / (n − correction), of the outer shape, outside the graph.
Tensor variance(const char* op, const Tensor& x, const detail::ReducedDims& d, double scale) {
  NoGrad off;
  Tensor mean = detail::reduce(ReduceOp::sum, op, x, d, false, x.dtype()) * (1 / static_cast<double>(numel(d.reduced)));
  return reduce_shifted(ShiftedReduceOp::squared_deviation, op, x, mean, d) * scale;
}
double variance_scale(const detail::ReducedDims& d, double correction) {
  return 1 / std::max(0.0, static_cast<double>(numel(d.reduced)) - correction);
}

Tensor nonzero_or_one(const Tensor& y) { return where(y == 0, 1, y); }

}  // namespace

// dx = 2 (x − mean) dy / (n − correction); the mean's own dependence cancels
Tensor var(const Tensor& input, const std::vector<int>& dims, double correction, bool keepdim) {
  return in_full_precision(input, [&](const Tensor& x) {
    auto d = detail::reduced_dims("var", x, dims);
    double scale = variance_scale(d, correction);
    Tensor y = reshape(variance("var", x, d, scale), d.result(keepdim));
    return record("var", y, {x}, saving(x), [scale, dims, kept = d.kept](const Grads& dy, const Saved& s, Needs) -> Grads {
      return (s[0] - mean(s[0], dims, true)) * reshape(dy[0] * (2 * scale), kept);
    });
  });
}

// y = √var,   dx = (x − mean) dy / (y (n − correction)), 0 where y = 0
Tensor std_dev(const Tensor& input, const std::vector<int>& dims, double correction, bool keepdim) {
  return in_full_precision(input, [&](const Tensor& x) {
    auto d = detail::reduced_dims("std_dev", x, dims);
    double scale = variance_scale(d, correction);
    Tensor y;
    {
      NoGrad off;
      y = reshape(sqrt(variance("std_dev", x, d, scale)), d.result(keepdim));
    }
    return record("std_dev", y, {x}, saving(x, y), [scale, dims, kept = d.kept](const Grads& dy, const Saved& s, Needs) -> Grads {
      Tensor share = where(s[1] == 0, 0, dy[0] * scale / nonzero_or_one(s[1]));
      return (s[0] - mean(s[0], dims, true)) * reshape(share, kept);
    });
  });
}

namespace {

// y = √Σ x²,   dx = x dy / y
Tensor euclidean_norm(const Tensor& x, const detail::ReducedDims& d, bool keepdim) {
  Tensor y;
  {
    NoGrad off;
    y = sqrt(detail::reduce(ReduceOp::sum_of_squares, "norm", x, d, keepdim, x.dtype()));
  }
  return record("norm", y, {x}, saving(x, y), [kept = d.kept](const Grads& dy, const Saved& s, Needs) -> Grads {
    Tensor share = where(s[1] == 0, 0, dy[0] / nonzero_or_one(s[1]));
    return s[0] * reshape(share, kept);
  });
}

// y = m (Σ (|x| / m)^p)^(1/p) with the largest |x| as m,   dx = sign(x) (|x| / y)^(p−1) dy
Tensor general_norm(const Tensor& x, double p, const std::vector<int>& dims, const detail::ReducedDims& d, bool keepdim) {
  Tensor y;
  if (numel(d.reduced) == 0) return zeros(d.result(keepdim), x.dtype(), x.device());
  {
    NoGrad off;
    Tensor size = abs(x), m = nonzero_or_one(p > 0 ? amax(size, dims, true) : amin(size, dims, true));
    Tensor scaled = m * pow(sum(pow(size / m, p), dims, true), 1 / p);
    y = reshape(where(isinf(m), m, scaled), d.result(keepdim));
  }
  return record("norm", y, {x}, saving(x, y), [p, kept = d.kept](const Grads& dy, const Saved& s, Needs) -> Grads {
    Tensor x = s[0], y = reshape(nonzero_or_one(s[1]), kept);
    Tensor ratio = where(x == 0, 1, abs(x)) / y;
    Tensor dx = where(x == 0, 0, detail::unary("sign", UnaryOp::sign, x) * pow(ratio, p - 1) * reshape(dy[0], kept));
    return p < 0 ? where(reshape(s[1] == 0, kept), 0, dx) : dx;  // an element that is 0 makes the norm 0, whatever the others are
  });
}

}  // namespace

Tensor norm(const Tensor& input, double p, const std::vector<int>& dims, bool keepdim) {
  if (std::isnan(p)) throw ValueError("norm: p is NaN");
  return in_full_precision(input, [&](const Tensor& x) {
    auto d = detail::reduced_dims("norm", x, dims);
    if (p == 2) return euclidean_norm(x, d, keepdim);
    if (p == 1) return sum(abs(x), dims, keepdim);
    if (p == 0) return sum(to(x != 0, x.dtype()), dims, keepdim);
    if (std::isinf(p)) return p > 0 ? amax(abs(x), dims, keepdim) : amin(abs(x), dims, keepdim);
    return general_norm(x, p, dims, d, keepdim);
  });
}

// e^(x − y), the softmax: where the largest elements are +∞ they share 1, and where all are −∞ it is 0. y keeps the reduced dimensions.
static Tensor shares(const Tensor& x, const Tensor& y, const std::vector<int>& dims) {
  Tensor top;
  {
    NoGrad off;
    top = y == INFINITY;
  }
  Tensor finite = where(isinf(y), 0, y);
  bool on_cpu = x.device().type == DeviceType::cpu;  // on a GPU the question would make the host wait, for less work than it saves
  if (on_cpu && !any(top).item<bool>()) return exp(x - finite);
  Tensor share;
  {
    NoGrad off;
    Tensor highest = to(logical_and(top, x == INFINITY), x.dtype());
    share = highest / nonzero_or_one(sum(highest, dims, true));
  }
  return exp(where(top, -INFINITY, x - finite)) + share;
}

// y = log Σ e^(x − m) + m with the largest x as m (0 if that is infinite),   dx = e^(x − y) dy
Tensor logsumexp(const Tensor& input, const std::vector<int>& dims, bool keepdim) {
  return in_full_precision(input, [&](const Tensor& x) {
    auto d = detail::reduced_dims("logsumexp", x, dims);
    Tensor y;
    {
      NoGrad off;
      Tensor m = detail::reduce(ReduceOp::maximum, "logsumexp", x, d, false, x.dtype());
      m = where(isfinite(m), m, 0);
      y = reshape(log(reduce_shifted(ShiftedReduceOp::exponential, "logsumexp", x, m, d)) + m, d.result(keepdim));
    }
    return record("logsumexp", y, {x}, saving(x, y), [dims, kept = d.kept](const Grads& dy, const Saved& s, Needs) -> Grads {
      return shares(s[0], reshape(s[1], kept), dims) * reshape(dy[0], kept);
    });
  });
}

}  // namespace plumb

// Layer norm and RMS norm. Forward and backward are one fused pass each; under create_graph the formula is differentiated.
#include "ops/norm.h"

#include <numeric>

#include "engine/autograd/record.h"
#include "ops/elementary.h"
#include "ops/kernels/norm.h"
#include "ops/norm_formula.h"
#include "ops/pointwise.h"
#include "ops/pointwise_call.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb {
namespace detail {

Normalised normalised(const Tensor& x, const std::vector<int>& dims, bool centred, double eps) {
  Tensor around = centred ? x - mean(x, dims, true) : x;
  Tensor rstd = rsqrt(mean(square(around), dims, true) + eps);
  return {around * rstd, rstd};
}

Tensor normalised_derivative(const Tensor& g, const Normalised& n, const std::vector<int>& dims, bool centred) {
  Tensor rest = g - n.value * mean(g * n.value, dims, true);
  return n.rstd * (centred ? rest - mean(g, dims, true) : rest);
}

}  // namespace detail

namespace {

void check_parameter(const char* op, const char* what, const Tensor& x, const Tensor& p, const Shape& shape) {
  if (!p.defined()) return;
  if (p.shape() != shape) throw ShapeError(std::string(op) + ": the " + what + " is " + to_string(p.shape()) + ", the normalised shape " + to_string(shape));
  detail::check_same_device(op, x, p);
}

// Gradients of x, weight and bias in one pass over dy and x.
Grads fused_backward(const Tensor& dy, const Tensor& input, const Tensor& weight, const Tensor& mean, const Tensor& rstd, const Shape& shape, Needs needs) {
  Tensor x = contiguous_data(input), w = weight.defined() ? contiguous_data(weight) : weight, dx, dw, db;
  if (needs[0]) dx = empty(x.shape(), x.dtype(), x.device(), "norm_backward");
  if (needs[1]) dw = empty(shape, rstd.dtype(), x.device(), "norm_backward");
  if (needs[2]) db = empty(shape, rstd.dtype(), x.device(), "norm_backward");
  kernel::row_norm_backward(x.device(), contiguous_data(dy), x, mean, rstd, w, dx, dw, db);
  return {dx, dw, db};
}

// The same in plain operations.
Grads plain_backward(const Tensor& dy, const Tensor& input, const Tensor& weight, const Shape& shape, bool centred, double eps, Needs needs) {
  DType type = compute_dtype(input.dtype());
  Tensor x = to(input, type), g = to(dy, type), dx, dw, db;
  std::vector<int> dims(static_cast<size_t>(shape.rank()));
  std::iota(dims.begin(), dims.end(), x.rank() - shape.rank());
  detail::Normalised n = detail::normalised(x, dims, centred, eps);
  if (needs[0]) dx = to(detail::normalised_derivative(weight.defined() ? g * weight : g, n, dims, centred), input.dtype());
  if (needs[1]) dw = sum_to(g * n.value, shape);
  if (needs[2]) db = sum_to(g, shape);
  return {dx, dw, db};
}

Tensor row_norm(const char* op, const Tensor& input, const Shape& shape, const Tensor& w, const Tensor& b, bool centred, double eps) {
  Tensor x = detail::floating(input);
  int lead = x.rank() - shape.rank();
  if (shape.rank() == 0 || lead < 0 || x.shape().slice(lead, x.rank()) != shape)
    throw ShapeError(std::string(op) + ": x " + to_string(x.shape()) + " does not end in the normalised shape " + to_string(shape));
  check_parameter(op, "weight", x, w, shape);
  check_parameter(op, "bias", x, b, shape);
  DType type = compute_dtype(x.dtype());
  Tensor weight = w.defined() ? to(w, type) : w, bias = b.defined() ? to(b, type) : b;
  Shape rows{numel(x.shape().slice(0, lead))};
  Tensor y = empty(x.shape(), x.dtype(), x.device(), op), rstd = empty(rows, type, x.device(), op), mean;
  if (centred) mean = empty(rows, type, x.device(), op);
  kernel::row_norm(x.device(), contiguous_data(x), weight.defined() ? contiguous_data(weight) : weight, bias.defined() ? contiguous_data(bias) : bias, centred, eps, y, mean, rstd);
  return record(op, y, {x, weight, bias}, saving(x, weight, mean, rstd), [shape, centred, eps](const Grads& dy, const Saved& s, Needs needs) -> Grads {
    if (grad_enabled()) return plain_backward(dy[0], s[0], s[1], shape, centred, eps, needs);
    return fused_backward(dy[0], s[0], s[1], s[2], s[3], shape, needs);
  });
}

}  // namespace

Tensor layer_norm(const Tensor& x, const Shape& normalized_shape, const Tensor& weight, const Tensor& bias, double eps) {
  return row_norm("layer_norm", x, normalized_shape, weight, bias, true, eps);
}
Tensor rms_norm(const Tensor& x, const Shape& normalized_shape, const Tensor& weight, double eps) {
  return row_norm("rms_norm", x, normalized_shape, weight, {}, false, eps);
}

}  // namespace plumb

// Layer norm and RMS norm, also of a sum. Forward and backward are one fused pass each; under create_graph the formula is differentiated.
#include "ops/norm.h"

#include <numeric>

#include "engine/autograd/autocast.h"
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
  if (p.shape() != shape)
    throw ShapeError(std::string(op) + ": the " + what + " is " + to_string(p.shape()) + ", the normalised shape " + to_string(shape));
  detail::check_same_device(op, x, p);
}

// Gradients of x, weight and bias in one pass over dy and x.
Grads fused_backward(const Tensor& dy, const Tensor& input, const Tensor& weight, const Tensor& mean, const Tensor& rstd,
                     const Shape& shape, Needs needs) {
  Tensor x = contiguous_data(input), w = weight.defined() ? contiguous_data(weight) : weight, dx, dw, db;
  if (needs[0]) dx = empty(x.shape(), x.dtype(), x.device(), "norm_backward");
  if (needs[1]) dw = empty(shape, rstd.dtype(), x.device(), "norm_backward");
  if (needs[2]) db = empty(shape, rstd.dtype(), x.device(), "norm_backward");
  Tensor none;
  kernel::row_norm_backward(x.device(), contiguous_data(dy), {}, x, mean, rstd, w, dx, none, dw, db);
  return {dx, dw, db};
}

// The same in plain operations.
Grads plain_backward(const Tensor& dy, const Tensor& input, const Tensor& weight, const Shape& shape, bool centred, double eps,
                     Needs needs) {
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

// Throws unless x ends in `shape` and the parameters have it; gives the number of rows that x is.
int64_t checked_rows(const char* op, const Tensor& x, const Shape& shape, const Tensor& weight, const Tensor& bias) {
  int lead = x.rank() - shape.rank();
  if (shape.rank() == 0 || lead < 0 || x.shape().slice(lead, x.rank()) != shape)
    throw ShapeError(std::string(op) + ": x " + to_string(x.shape()) + " does not end in the normalised shape " + to_string(shape));
  check_parameter(op, "weight", x, weight, shape);
  check_parameter(op, "bias", x, bias, shape);
  return numel(x.shape().slice(0, lead));
}

Tensor typed(const Tensor& x, DType type) { return x.defined() ? to(x, type) : x; }
Tensor row_major(const Tensor& x) { return x.defined() ? contiguous_data(x) : x; }

Tensor row_norm(const char* op, const Tensor& input, const Shape& shape, const Tensor& w, const Tensor& b, bool centred, double eps) {
  Tensor x = detail::floating(input);
  Shape rows{checked_rows(op, x, shape, w, b)};
  DType type = compute_dtype(x.dtype());
  Tensor weight = typed(w, type), bias = typed(b, type);
  Tensor y = empty(x.shape(), x.dtype(), x.device(), op), rstd = empty(rows, type, x.device(), op), mean, none;
  if (centred) mean = empty(rows, type, x.device(), op);
  kernel::row_norm(x.device(), row_major(x), {}, row_major(weight), row_major(bias), centred, eps, none, y, mean, rstd);
  return record(op, y, {x, weight, bias}, saving(x, weight, mean, rstd),
                [shape, centred, eps](const Grads& dy, const Saved& s, Needs needs) -> Grads {
                  if (grad_enabled()) return plain_backward(dy[0], s[0], s[1], shape, centred, eps, needs);
                  return fused_backward(dy[0], s[0], s[1], s[2], s[3], shape, needs);
                });
}

// The gradients of x, branch, weight and bias in one pass, given those of the sum and of its norm.
Grads added_backward(const Grads& d, const Tensor& sum, const Tensor& weight, const Tensor& mean, const Tensor& rstd, DType branch,
                     const Shape& shape, Needs needs) {
  bool alike = branch == sum.dtype();
  Tensor dx, dbranch, dw, db;
  if (needs[0] || (alike && needs[1])) dx = empty(sum.shape(), sum.dtype(), sum.device(), "norm_backward");
  if (!alike && needs[1]) dbranch = empty(sum.shape(), branch, sum.device(), "norm_backward");
  if (needs[2]) dw = empty(shape, rstd.dtype(), sum.device(), "norm_backward");
  if (needs[3]) db = empty(shape, rstd.dtype(), sum.device(), "norm_backward");
  kernel::row_norm_backward(sum.device(), contiguous_data(d[1]), contiguous_data(d[0]), sum, mean, rstd, row_major(weight), dx, dbranch, dw,
                            db);
  return {needs[0] ? dx : Tensor(), alike && needs[1] ? dx : dbranch, dw, db};
}

Grads plain_added_backward(const Grads& d, const Tensor& sum, const Tensor& weight, DType branch, const Shape& shape, double eps,
                           Needs needs) {
  uint64_t into_sum = needs[0] || needs[1] ? 1 : 0;
  Grads g = plain_backward(d[1], sum, weight, shape, true, eps, Needs(into_sum | uint64_t{needs[2]} << 1 | uint64_t{needs[3]} << 2));
  Tensor dx = into_sum ? d[0] + g[0] : Tensor();
  return {needs[0] ? dx : Tensor(), needs[1] ? to(dx, branch) : Tensor(), g[1], g[2]};
}

// Of checked operands, whose sum has x's type and whose norm has `type`.
AddNorm add_norm(const Tensor& x, const Tensor& branch, const Tensor& weight, const Tensor& bias, const Shape& shape, const Shape& rows,
                 DType type, double eps) {
  const char* op = "add_layer_norm";
  DType wide = compute_dtype(x.dtype());
  Tensor sum = empty(x.shape(), x.dtype(), x.device(), op), y = empty(x.shape(), type, x.device(), op),
         mean = empty(rows, wide, x.device(), op), rstd = empty(rows, wide, x.device(), op);
  kernel::row_norm(x.device(), contiguous_data(x), contiguous_data(branch), row_major(weight), row_major(bias), true, eps, sum, y, mean,
                   rstd);
  auto outputs = record(op, std::array{sum, y}, {x, branch, weight, bias}, saving(sum, weight, mean, rstd),
                        [shape, eps, type = branch.dtype()](const Grads& d, const Saved& s, Needs needs) -> Grads {
                          if (grad_enabled()) return plain_added_backward(d, s[0], s[1], type, shape, eps, needs);
                          return added_backward(d, s[0], s[1], s[2], s[3], type, shape, needs);
                        });
  return {outputs[0], outputs[1]};
}

}  // namespace

AddNorm add_layer_norm(const Tensor& x, const Tensor& branch, const Shape& normalized_shape, const Tensor& weight, const Tensor& bias,
                       double eps) {
  const char* op = "add_layer_norm";
  if (!is_floating(x.dtype()) || !is_floating(branch.dtype()))
    throw DTypeError(std::string(op) + ": takes floating tensors, got " + std::string(name(x.dtype())) + " and " +
                     std::string(name(branch.dtype())));
  if (x.shape() != branch.shape())
    throw ShapeError(std::string(op) + ": x is " + to_string(x.shape()) + ", the branch " + to_string(branch.shape()));
  detail::check_same_device(op, x, branch);
  Shape rows{checked_rows(op, x, normalized_shape, weight, bias)};
  DType sum = promote(x.dtype(), branch.dtype()), type = sum == f32 ? Autocast::type() : sum, wide = compute_dtype(sum);
  bool as_it_is = branch.dtype() == sum || (sum == f32 && (type == f32 || type == branch.dtype()));
  return add_norm(to(x, sum), as_it_is ? branch : to(branch, sum), typed(weight, wide), typed(bias, wide), normalized_shape, rows, type,
                  eps);
}

Tensor layer_norm(const Tensor& x, const Shape& normalized_shape, const Tensor& weight, const Tensor& bias, double eps) {
  return row_norm("layer_norm", x, normalized_shape, weight, bias, true, eps);
}
Tensor rms_norm(const Tensor& x, const Shape& normalized_shape, const Tensor& weight, double eps) {
  return row_norm("rms_norm", x, normalized_shape, weight, {}, false, eps);
}

}  // namespace plumb

// Fake quantisation. Backward is one fused pass; under create_graph the formula in plain operations is differentiated instead, in which
// what depends on x and the step alone (which elements lie inside, the rounding errors) is constant.
#include "ops/quantize.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "engine/autograd/record.h"
#include "ops/elementary.h"
#include "ops/kernels/quantize.h"
#include "ops/pointwise.h"
#include "ops/pointwise_call.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb {
namespace {

void check_grid(const char* op, const Tensor& x, int64_t low, int64_t high) {
  if (!is_floating(x.dtype())) unsupported_dtype(op, x.dtype());
  if (low >= high)
    throw ValueError(std::string(op) + ": quant_min " + std::to_string(low) + " is not below quant_max " + std::to_string(high));
}

QuantizationGrid grid_of(int64_t low, int64_t high) { return {static_cast<double>(low), static_cast<double>(high)}; }

// Steps in the type they are computed in, where a tiny double may have become 0.
void check_steps(const char* op, const char* what, const Tensor& steps) {
  std::vector<double> values = to_vector(steps);
  for (size_t i = 0; i < values.size(); ++i)
    if (!(values[i] > 0 && std::isfinite(values[i])))
      throw ValueError(std::string(op) + ": the " + what + (values.size() > 1 ? " of channel " + std::to_string(i) : "") + " is " +
                       decimal(values[i]) + ", not positive and finite");
}

// One size for each of: what comes before `axis`, the axis, what comes after. axis −1: a single channel.
Shape around_axis(const Shape& s, int axis) {
  if (axis < 0) return {1, 1, numel(s)};
  return {numel(s.slice(0, axis)), s[axis], numel(s.slice(axis + 1, s.rank()))};
}
Tensor seen_as(const Tensor& x, const Shape& shape) { return view_of(x, shape, contiguous_strides(shape), 0); }
// steps [channels] as a shape that broadcasts against x.
Tensor along_axis(const Tensor& steps, int rank, int axis) {
  Shape shape = Shape::filled(rank, 1);
  if (axis >= 0) shape[axis] = steps.numel();
  return reshape(steps, shape);
}

Tensor fake_quantize(const char* op, const Tensor& x, const Tensor& scale, const Tensor& zero_point, int axis, QuantizationGrid grid) {
  Shape seen = around_axis(x.shape(), axis);
  Tensor y = empty_like(x, op), out = seen_as(y, seen);
  if (x.numel() > 0) kernel::fake_quantize(x.device(), seen_as(contiguous_data(x), seen), scale, zero_point, grid, out);
  return record(op, y, {x}, saving(x, scale, zero_point), [=](const Grads& dy, const Saved& s, Needs) -> Grads {
    Tensor x = s[0], scale = s[1], zero_point = s[2];
    if (grad_enabled()) {
      Tensor inside;
      {
        NoGrad off;
        Tensor q = round(to(x, scale.dtype()) / along_axis(scale, x.rank(), axis) + along_axis(zero_point, x.rank(), axis));
        inside = logical_and(q >= grid.low, q <= grid.high);
      }
      return where(inside, dy[0], 0);
    }
    Tensor dx = empty_like(x, "fake_quantize_backward"), out = seen_as(dx, seen);
    if (x.numel() > 0)
      kernel::fake_quantize_backward(x.device(), seen_as(contiguous_data(dy[0]), seen), seen_as(contiguous_data(x), seen), scale,
                                     zero_point, grid, out);
    return dx;
  });
}

void check_zero_point(const char* op, int64_t z, int64_t low, int64_t high) {
  if (z < low || z > high)
    throw ValueError(std::string(op) + ": the zero point " + std::to_string(z) + " is outside [" + std::to_string(low) + ", " +
                     std::to_string(high) + "]");
}

void check_channels(const char* op, const char* what, const Tensor& values, const Tensor& x, int axis) {
  if (values.rank() != 1 || values.size(0) != x.size(axis))
    throw ShapeError(std::string(op) + ": " + what + " " + to_string(values.shape()) + " must be a vector of x's size along dimension " +
                     std::to_string(axis) + " of " + to_string(x.shape()));
}

// dx = [inside] dy,   ds = g Σ e dy,   e = round(clamp(x / s)) − [inside] x / s
Grads learned_step_derivative(const Tensor& dy, const Tensor& x, const Tensor& step, int axis, QuantizationGrid grid,
                              double gradient_scale) {
  if (!grad_enabled()) {
    Shape seen = around_axis(x.shape(), axis);
    Tensor dx = empty_like(x, "learned_step_backward"), dstep = zeros(step.shape(), step.dtype(), step.device()), out = seen_as(dx, seen);
    if (x.numel() > 0)
      kernel::learned_step_backward(x.device(), seen_as(contiguous_data(dy), seen), seen_as(contiguous_data(x), seen), step, grid,
                                    gradient_scale, out, dstep);
    return {dx, dstep};
  }
  Tensor inside, error;
  {
    NoGrad off;
    Tensor ratio = to(x, step.dtype()) / along_axis(step, x.rank(), axis);
    inside = logical_and(ratio > grid.low, ratio < grid.high);
    error = round(clamp(ratio, grid.low, grid.high)) - where(inside, ratio, 0);
  }
  std::vector<int> others;
  for (int d = 0; d < x.rank(); ++d)
    if (d != axis) others.push_back(d);
  Tensor products = to(dy, step.dtype()) * error * gradient_scale;
  return {where(inside, dy, 0), reshape(others.empty() ? products : sum(products, others), step.shape())};
}

}  // namespace

// y = round(x),   dx = dy
Tensor round_ste(const Tensor& x) {
  if (!is_floating(x.dtype())) unsupported_dtype("round_ste", x.dtype());
  return record("round_ste", detail::unary("round_ste", UnaryOp::round, x), {x}, saving(),
                [](const Grads& dy, const Saved&, Needs) -> Grads { return dy[0]; });
}

Tensor fake_quantize_per_tensor_affine(const Tensor& x, double scale, int64_t zero_point, int64_t quant_min, int64_t quant_max) {
  const char* op = "fake_quantize_per_tensor_affine";
  check_grid(op, x, quant_min, quant_max);
  check_zero_point(op, zero_point, quant_min, quant_max);
  DType type = compute_dtype(x.dtype());
  check_steps(op, "scale", full({1}, scale, type));
  return fake_quantize(op, x, full({1}, scale, type, x.device()), full({1}, zero_point, type, x.device()), -1,
                       grid_of(quant_min, quant_max));
}

Tensor fake_quantize_per_channel_affine(const Tensor& x, const Tensor& scale, const Tensor& zero_point, int axis, int64_t quant_min,
                                        int64_t quant_max) {
  const char* op = "fake_quantize_per_channel_affine";
  check_grid(op, x, quant_min, quant_max);
  if (x.rank() == 0) throw ShapeError(std::string(op) + ": x is a single number, which has no channels");
  axis = checked_dim(op, axis, x.rank());
  check_channels(op, "the scale", scale, x, axis);
  check_channels(op, "the zero point", zero_point, x, axis);
  detail::check_same_device(op, x, scale);
  detail::check_same_device(op, x, zero_point);
  if (zero_point.dtype() != i64 && zero_point.dtype() != i32)
    throw DTypeError(std::string(op) + ": zero points are i64 or i32, not " + std::string(name(zero_point.dtype())));
  for (int64_t z : to_vector<int64_t>(zero_point)) check_zero_point(op, z, quant_min, quant_max);
  DType type = compute_dtype(x.dtype());
  Tensor scales = contiguous_data(to(scale.detach(), type)), zeros = contiguous_data(to(zero_point, type));
  check_steps(op, "scale", scales);
  return fake_quantize(op, x, scales, zeros, axis, grid_of(quant_min, quant_max));
}

Tensor learned_step_quantize(const Tensor& x, const Tensor& step, const LearnedStepOptions& options) {
  const char* op = "learned_step_quantize";
  check_grid(op, x, options.quant_min, options.quant_max);
  if (options.quant_min > 0 || options.quant_max <= 0)
    throw ValueError(std::string(op) + ": 0 must be on the grid and below its end, which is [" + std::to_string(options.quant_min) + ", " +
                     std::to_string(options.quant_max) + "]");
  if (!is_floating(step.dtype())) unsupported_dtype(op, step.dtype());
  detail::check_same_device(op, x, step);
  int axis = -1;
  if (step.numel() != 1) {
    if (x.rank() == 0) throw ShapeError(std::string(op) + ": x is a single number, which takes a single step");
    axis = checked_dim(op, options.axis, x.rank());
    check_channels(op, "the step", step, x, axis);
  }
  if (options.elements < 0) throw ValueError(std::string(op) + ": elements is negative, " + std::to_string(options.elements));
  Tensor steps = contiguous(reshape(to(step, compute_dtype(x.dtype())), {step.numel()}));
  check_steps(op, "step", steps);
  double sharing =
      static_cast<double>(options.elements > 0 ? options.elements : x.numel() / std::max<int64_t>(1, axis < 0 ? 1 : x.size(axis)));
  double gradient_scale = options.scale_gradient ? 1 / std::sqrt(std::max(1.0, sharing) * static_cast<double>(options.quant_max)) : 1;
  QuantizationGrid grid = grid_of(options.quant_min, options.quant_max);
  Shape seen = around_axis(x.shape(), axis);
  Tensor y = empty_like(x, op), out = seen_as(y, seen);
  if (x.numel() > 0) kernel::learned_step_quantize(x.device(), seen_as(contiguous_data(x), seen), steps, grid, out);
  return record(op, y, {x, steps}, saving(x, steps), [=](const Grads& dy, const Saved& s, Needs) -> Grads {
    return learned_step_derivative(dy[0], s[0], s[1], axis, grid, gradient_scale);
  });
}

}  // namespace plumb

// Group, instance and batch norm. Forward and backward are fused; under create_graph the formula is differentiated.
#include <algorithm>

#include "engine/autograd/record.h"
#include "engine/core/channels_last.h"
#include "ops/activated_norm.h"
#include "ops/activation.h"
#include "ops/elementary.h"
#include "ops/formula.h"
#include "ops/kernels/norm.h"
#include "ops/norm.h"
#include "ops/norm_formula.h"
#include "ops/pointwise.h"
#include "ops/pointwise_call.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb {
namespace {

void check_channels(const char* op, const char* what, const Tensor& x, const Tensor& p) {
  if (!p.defined()) return;
  if (p.shape() != Shape{x.size(1)})
    throw ShapeError(std::string(op) + ": the " + what + " must be [" + std::to_string(x.size(1)) + "], one number a channel of " +
                     to_string(x.shape()) + "; it is " + to_string(p.shape()));
  detail::check_same_device(op, x, p);
}

// x, weight and bias as the kernels take them.
struct ChannelInputs {
  Tensor x, weight, bias;
  DType type;  ///< of statistics and parameters

  ChannelInputs(const char* op, const Tensor& input, const Tensor& w, const Tensor& b)
      : x(detail::floating(input)), type(compute_dtype(x.dtype())) {
    if (x.rank() < 2) throw ShapeError(std::string(op) + ": x must be [n, channels, ..], it is " + to_string(x.shape()));
    check_channels(op, "weight", x, w);
    check_channels(op, "bias", x, b);
    if (w.defined()) weight = to(w, type);
    if (b.defined()) bias = to(b, type);
  }
};

Tensor dense(const Tensor& x) { return x.defined() ? contiguous_data(x) : x; }

// [n, C, the rest], over elements without gaps: in x's own order, or in that of another tensor.
Shape three_dims(const Tensor& x) { return {x.size(0), x.size(1), numel(x.shape().slice(2, x.rank()))}; }
Tensor seen_as_three(const Tensor& x, bool last) {
  Tensor data = dense_data(x, last);
  Shape s = three_dims(x);
  return view_of(data, s, last ? channels_last_strides(s) : contiguous_strides(s), 0);
}
Tensor seen_as_three(const Tensor& x) { return seen_as_three(x, channels_last(x)); }
Tensor column(const Tensor& p) { return unsqueeze(p, 1); }  // [C] against [n, C, s]

struct ChannelGradients {
  Tensor dx, dweight, dbias;
  ChannelGradients(const Tensor& x, DType type, Needs needs) {
    Shape channels{x.size(1)};
    if (needs[0]) dx = empty_for(x.shape(), x.dtype(), x.device(), "norm_backward", x);
    if (needs[1]) dweight = empty(channels, type, x.device(), "norm_backward");
    if (needs[2]) dbias = empty(channels, type, x.device(), "norm_backward");
  }
  Tensor dx_as_three() const { return dx.defined() ? seen_as_three(dx) : dx; }
};

// The gradients of y = x̂ · weight + bias in plain operations. `spread` gives x̂'s [n, C, s] the shape over which it was normalised.
Grads plain_backward(const Tensor& gradient, const Tensor& input, const Tensor& weight, const Shape& spread, const std::vector<int>& dims,
                     double eps, Needs needs) {
  DType type = compute_dtype(input.dtype());
  Shape three = three_dims(input);
  Tensor dy = reshape(to(gradient, type), three), dx, dw, db;
  detail::Normalised n = detail::normalised(reshape(to(input, type), spread), dims, true, eps);
  Tensor g = reshape(weight.defined() ? dy * column(weight) : dy, spread);
  if (needs[0]) dx = to(reshape(detail::normalised_derivative(g, n, dims, true), input.shape()), input.dtype());
  if (needs[1]) dw = sum(dy * reshape(n.value, three), {0, 2});
  if (needs[2]) db = sum(dy, {0, 2});
  return {dx, dw, db};
}

Tensor grouped(const char* op, const ChannelInputs& in, int64_t groups, double eps) {
  const Tensor& x = in.x;
  Tensor y = empty_for(x.shape(), x.dtype(), x.device(), op, x), y3 = seen_as_three(y);
  Tensor mean = empty({x.size(0) * groups}, in.type, x.device(), op), rstd = empty(mean.shape(), in.type, x.device(), op);
  kernel::group_norm(x.device(), seen_as_three(x), groups, dense(in.weight), dense(in.bias), eps, y3, mean, rstd);
  return record(op, y, {x, in.weight, in.bias}, saving(x, in.weight, mean, rstd),
                [groups, eps](const Grads& dy, const Saved& s, Needs needs) -> Grads {
                  Tensor x = s[0], mean = s[2];
                  if (grad_enabled())
                    return plain_backward(dy[0], x, s[1], {mean.numel(), mean.numel() ? x.numel() / mean.numel() : 0}, {1}, eps, needs);
                  ChannelGradients out(x, mean.dtype(), needs);
                  Tensor dx3 = out.dx_as_three();
                  kernel::group_norm_backward(x.device(), seen_as_three(dy[0], channels_last(x)), seen_as_three(x), groups, mean, s[3],
                                              dense(s[1]), dx3, out.dweight, out.dbias);
                  return {out.dx, out.dweight, out.dbias};
                });
}

// y = (x − mean) rstd weight + bias with constant mean and rstd, in plain operations.
Grads plain_affine_backward(const Tensor& gradient, const Tensor& input, const Tensor& mean, const Tensor& rstd, const Tensor& weight,
                            Needs needs) {
  Shape three = three_dims(input);
  Tensor dy = reshape(to(gradient, mean.dtype()), three), dx, dw, db, scale = weight.defined() ? rstd * weight : rstd;
  if (needs[0]) dx = to(reshape(dy * column(scale), input.shape()), input.dtype());
  if (needs[1]) dw = sum(dy * (reshape(to(input, mean.dtype()), three) - column(mean)) * column(rstd), {0, 2});
  if (needs[2]) db = sum(dy, {0, 2});
  return {dx, dw, db};
}

Tensor by_channel(const char* op, const ChannelInputs& in, const Tensor& mean, const Tensor& rstd, bool moments, double eps) {
  const Tensor& x = in.x;
  Tensor y = empty_for(x.shape(), x.dtype(), x.device(), op, x), y3 = seen_as_three(y);
  kernel::channel_norm(x.device(), seen_as_three(x), mean, rstd, dense(in.weight), dense(in.bias), y3);
  return record(op, y, {x, in.weight, in.bias}, saving(x, in.weight, mean, rstd),
                [moments, eps](const Grads& dy, const Saved& s, Needs needs) -> Grads {
                  Tensor x = s[0];
                  if (grad_enabled())
                    return moments ? plain_backward(dy[0], x, s[1], three_dims(x), {0, 2}, eps, needs)
                                   : plain_affine_backward(dy[0], x, s[2], s[3], s[1], needs);
                  ChannelGradients out(x, s[2].dtype(), needs);
                  Tensor dx3 = out.dx_as_three();
                  kernel::channel_norm_backward(x.device(), seen_as_three(dy[0], channels_last(x)), seen_as_three(x), s[2], s[3],
                                                dense(s[1]), moments, dx3, out.dweight, out.dbias);
                  return {out.dx, out.dweight, out.dbias};
                });
}

}  // namespace

static void check_groups(const Tensor& x, int64_t groups) {
  if (groups < 1 || x.size(1) % groups != 0)
    throw ShapeError("group_norm: the channels of " + to_string(x.shape()) + " do not divide into " + std::to_string(groups) + " groups");
}

Tensor group_norm(const Tensor& x, int64_t groups, const Tensor& weight, const Tensor& bias, double eps) {
  ChannelInputs in("group_norm", x, weight, bias);
  check_groups(x, groups);
  return grouped("group_norm", in, groups, eps);
}

Tensor group_norm_silu(const Tensor& input, int64_t groups, const Tensor& weight, const Tensor& bias, double eps) {
  auto plain = [groups, eps](const std::vector<Tensor>& t) -> std::vector<Tensor> {
    return {silu(group_norm(t[0], groups, t[1], t[2], eps))};
  };
  if (!channels_last(input)) return plain({input, weight, bias})[0];
  ChannelInputs in("group_norm", input, weight, bias);
  check_groups(input, groups);
  const Tensor& x = in.x;
  Tensor y = empty_for(x.shape(), x.dtype(), x.device(), "group_norm_silu", x), y3 = seen_as_three(y, true);
  Tensor mean = empty({x.size(0) * groups}, in.type, x.device(), "group_norm_silu"),
         rstd = empty(mean.shape(), in.type, x.device(), "group_norm_silu");
  kernel::group_norm_silu(x.device(), seen_as_three(x, true), groups, dense(in.weight), dense(in.bias), eps, y3, mean, rstd);
  return record("group_norm_silu", y, {x, in.weight, in.bias}, saving(x, in.weight, in.bias, mean, rstd),
                [groups, plain](const Grads& dy, const Saved& s, Needs needs) -> Grads {
                  Tensor x = s[0], mean = s[3];
                  if (grad_enabled()) return differentiate(plain, {x, s[1], s[2]}, dy, needs);
                  ChannelGradients out(x, mean.dtype(), needs);
                  Tensor dx3 = out.dx.defined() ? seen_as_three(out.dx, true) : out.dx;
                  kernel::group_norm_silu_backward(x.device(), seen_as_three(dy[0], true), seen_as_three(x, true), groups, mean, s[4],
                                                   dense(s[1]), dense(s[2]), dx3, out.dweight, out.dbias);
                  return {out.dx, out.dweight, out.dbias};
                });
}

Tensor instance_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps) {
  ChannelInputs in("instance_norm", x, weight, bias);
  return grouped("instance_norm", in, std::max<int64_t>(1, x.size(1)), eps);
}

BatchNorm batch_norm_training(const Tensor& input, const Tensor& weight, const Tensor& bias, double eps) {
  ChannelInputs in("batch_norm_training", input, weight, bias);
  Shape channels{in.x.size(1)};
  if (in.x.size(1) > 0 && in.x.numel() / in.x.size(1) < 2)
    throw ValueError("batch_norm_training: a channel needs two elements or more, x is " + to_string(in.x.shape()));
  auto statistic = [&] { return empty(channels, in.type, in.x.device(), "batch_norm"); };
  BatchNorm result{{}, statistic(), statistic()};
  Tensor rstd = statistic();
  kernel::channel_moments(in.x.device(), seen_as_three(in.x), eps, result.mean, result.variance, rstd);
  result.y = by_channel("batch_norm", in, result.mean, rstd, true, eps);
  return result;
}

Tensor batch_norm(const Tensor& x, const Tensor& mean, const Tensor& variance, const Tensor& weight, const Tensor& bias, double eps) {
  ChannelInputs in("batch_norm", x, weight, bias);
  check_channels("batch_norm", "mean", in.x, mean);
  check_channels("batch_norm", "variance", in.x, variance);
  return by_channel("batch_norm", in, contiguous_data(to(mean.detach(), in.type)),
                    rsqrt(contiguous_data(to(variance.detach(), in.type)) + eps), false, eps);
}

// A channel's variance as that of a sample, from that of its n elements: n / (n − 1).
static double of_a_sample(const BatchNorm& batch) {
  double count = static_cast<double>(batch.y.numel()) / static_cast<double>(std::max<int64_t>(1, batch.mean.numel()));
  return count / (count - 1);
}

RunningStatistics update_running(const RunningStatistics& running, const BatchNorm& batch, double momentum) {
  NoGrad off;
  return {lerp(running.mean, to(batch.mean, running.mean.dtype()), momentum),
          lerp(running.variance, to(batch.variance, running.variance.dtype()) * of_a_sample(batch), momentum)};
}

void update_running_(RunningStatistics& running, const BatchNorm& batch, double momentum, Tensor batches) {
  for (const Tensor* t : {&running.mean, &running.variance})
    if (t->shape() != batch.mean.shape() || !t->is_contiguous() || t->dtype() != running.mean.dtype())
      throw ShapeError("update_running: the statistics must be two row-major tensors " + to_string(batch.mean.shape()) +
                       " of one type, got " + to_string(t->shape()));
  for (const Tensor* t : {&running.mean, &running.variance, &batches})
    if (t->defined()) detail::check_same_device("update_running", *t, batch.mean);
  if (batches.defined() && (batches.dtype() != i64 || batches.numel() != 1))
    throw ShapeError("update_running: the count of batches must be one i64, got " + std::string(name(batches.dtype())) + " " +
                     to_string(batches.shape()));
  kernel::running_statistics(batch.mean.device(), batch.mean, batch.variance, of_a_sample(batch), momentum, running.mean, running.variance,
                             batches);
  for (const Tensor& t : {running.mean, running.variance, batches})
    if (t.defined()) t.impl()->storage->bump_version();
}

}  // namespace plumb

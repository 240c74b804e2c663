// Convolution. Everything is one trilinear form L = ⟨y, weight ∗ x⟩: its derivatives in y, x and weight are the convolution, the transposed
// convolution and the weight sum, and the derivatives of each of the three are the other two. So all orders run on the fused kernels.
#include "ops/conv.h"

#include "engine/autograd/record.h"
#include "engine/core/channels_last.h"
#include "engine/core/data_kernels.h"
#include "engine/core/precision.h"
#include "ops/autocast_call.h"
#include "ops/kernels/conv.h"
#include "ops/pointwise_call.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb {
namespace {

// The sizes of an image or a kernel, [height, width].
struct Sizes {
  int64_t h, w;
};
Sizes last_two(const Tensor& x) { return {x.shape()[2], x.shape()[3]}; }

Tensor convolved(const char* op, const Tensor& x, const Tensor& weight, const Tensor& bias, const ConvGeometry& g, Sizes size);
Tensor transposed(const char* op, const Tensor& y, const Tensor& weight, const Tensor& bias, const ConvGeometry& g, Sizes size);
Tensor weight_sum(const Tensor& y, const Tensor& x, const ConvGeometry& g, Sizes kernel);

Tensor sum_of_channel(const Tensor& dy) { return sum(dy, {0, 2, 3}); }
// x, if the derivative in the other factor will be asked for.
Tensor kept(const Tensor& x, const Tensor& other) { return other.requires_grad() ? x : Tensor(); }
Tensor dense(const Tensor& x) { return x.defined() ? contiguous_data(x) : x; }
// As the CPU's kernels want it; a GPU's take any strides.
Tensor row_major(const Tensor& x) { return x.device().type == DeviceType::cpu ? contiguous_data(x) : x; }

// Whether tensor cores compute it, which read and write images, and weights, with channels last.
bool multiplies_channels_last(Device device, DType type, const Shape& weight, int64_t groups) {
  return device.type == DeviceType::cuda && type != f64 && (type != f32 || tf32_allowed()) && !kernel::sums_directly(weight, groups);
}
// Whether the result is stored so: direct sums follow the images that they are given.
bool stores_channels_last(const Tensor& images, const Tensor& weight, int64_t groups) {
  if (kernel::sums_directly(weight.shape(), groups)) return channels_last(images);
  return multiplies_channels_last(images.device(), images.dtype(), weight.shape(), groups);
}

// y = weight ∗ x + bias,   dx = weight ∗ᵀ dy,   dweight = Σ dy · x,   dbias = Σ dy
Tensor convolved(const char* op, const Tensor& x, const Tensor& weight, const Tensor& bias, const ConvGeometry& g, Sizes size) {
  Tensor y = empty_in_order({x.shape()[0], weight.shape()[0], size.h, size.w}, x.dtype(), x.device(), op,
                            stores_channels_last(x, weight, g.groups));
  kernel::conv(x.device(), x, row_major(weight), dense(bias), g, y);
  return record(op, y, {x, weight, bias}, saving(kept(x, weight), kept(weight, x)),
                [g, in = last_two(x), kernel = last_two(weight)](const Grads& dy, const Saved& s, Needs needs) -> Grads {
                  Tensor dx, dw, db;
                  if (needs[0]) dx = transposed("conv_backward_input", dy[0], s[1], {}, g, in);
                  if (needs[1]) dw = weight_sum(dy[0], s[0], g, kernel);
                  if (needs[2]) db = sum_of_channel(dy[0]);
                  return {dx, dw, db};
                });
}

// x = weight ∗ᵀ y + bias,   dy = weight ∗ dx,   dweight = Σ y · dx,   dbias = Σ dx
Tensor transposed(const char* op, const Tensor& y, const Tensor& weight, const Tensor& bias, const ConvGeometry& g, Sizes size) {
  Tensor x = empty_in_order({y.shape()[0], weight.shape()[1] * g.groups, size.h, size.w}, y.dtype(), y.device(), op,
                            stores_channels_last(y, weight, g.groups));
  kernel::conv_transpose(y.device(), y, row_major(weight), dense(bias), g, x);
  return record(op, x, {y, weight, bias}, saving(kept(y, weight), kept(weight, y)),
                [g, out = last_two(y), kernel = last_two(weight)](const Grads& dx, const Saved& s, Needs needs) -> Grads {
                  Tensor dy, dw, db;
                  if (needs[0]) dy = convolved("conv_transpose_backward_input", dx[0], s[1], {}, g, out);
                  if (needs[1]) dw = weight_sum(s[0], dx[0], g, kernel);
                  if (needs[2]) db = sum_of_channel(dx[0]);
                  return {dy, dw, db};
                });
}

// weight = Σ y · x,   dy = dweight ∗ x,   dx = dweight ∗ᵀ y
Tensor weight_sum(const Tensor& y, const Tensor& x, const ConvGeometry& g, Sizes kernel) {
  Shape shape{y.shape()[1], x.shape()[1] / g.groups, kernel.h, kernel.w};
  Tensor w = empty_in_order(shape, x.dtype(), x.device(), "conv_backward_weight",
                            multiplies_channels_last(x.device(), x.dtype(), shape, g.groups));
  kernel::conv_weight(x.device(), row_major(y), x, g, w);
  return record("conv_backward_weight", w, {y, x}, saving(kept(y, x), kept(x, y)),
                [g, out = last_two(y), in = last_two(x)](const Grads& dw, const Saved& s, Needs needs) -> Grads {
                  Tensor dy, dx;
                  if (needs[0]) dy = convolved("conv", s[1], dw[0], {}, g, out);
                  if (needs[1]) dx = transposed("conv_transpose", s[0], dw[0], {}, g, in);
                  return {dy, dx};
                });
}

// -- checks -----------------------------------------------------------------------------------------------

// A call for its messages; `dims` is 1 or 2, and then the height is left out of what is shown.
struct Call {
  const char* op;
  int dims;
  const Tensor &x, &weight, &bias;

  std::string pair(int64_t h, int64_t w) const { return dims == 1 ? std::to_string(w) : std::to_string(h) + "×" + std::to_string(w); }
  std::string shapes() const { return "input " + to_string(x.shape()) + ", weight " + to_string(weight.shape()); }
  [[noreturn]] void fail(const std::string& what) const { throw ShapeError(std::string(op) + ": " + what); }
  void at_least(const char* what, Size2 value, int64_t least) const {
    if (value.height < least || value.width < least)
      throw ValueError(std::string(op) + ": the " + what + " must be at least " + std::to_string(least) + ", it is " +
                       pair(value.height, value.width));
  }

  void check_tensors() const {
    if (!is_floating(x.dtype()) || x.dtype() != weight.dtype() || (bias.defined() && bias.dtype() != x.dtype()))
      throw DTypeError(std::string(op) + ": takes floating tensors of one type, got " + std::string(name(x.dtype())) + " and " +
                       std::string(name(weight.dtype())) + (bias.defined() ? ", bias " + std::string(name(bias.dtype())) : ""));
    detail::check_same_device(op, x, weight);
    if (bias.defined()) detail::check_same_device(op, x, bias);
    if (weight.rank() != dims + 2 || (x.rank() != dims + 2 && x.rank() != dims + 1))
      fail(std::string("takes an input of ") + (dims == 1 ? "[batch, channels, length]" : "[batch, channels, height, width]") +
           " and a weight of rank " + std::to_string(dims + 2) + ": " + shapes());
    for (int d = 1; d < weight.rank(); ++d)
      if (weight.shape()[d] == 0) fail("the kernel is empty: " + shapes());
  }
  // `in` and `out` channels of the input and the result.
  void check_channels(int64_t in, int64_t expected, int64_t divided, int64_t groups, int64_t out) const {
    if (groups < 1) throw ValueError(std::string(op) + ": groups must be at least 1, it is " + std::to_string(groups));
    if (in != expected || divided % groups != 0)
      fail(std::to_string(groups) + (groups == 1 ? " group" : " groups") + " and " + std::to_string(in) +
           " channels do not fit: " + shapes());
    if (bias.defined() && bias.shape() != Shape{out})
      fail("the bias must be [" + std::to_string(out) + "], it is " + to_string(bias.shape()));
  }
};

// 1-D tensors as images of height 1, with a batch dimension.
Tensor as_images(const Call& c) {
  Tensor x = c.x.rank() == c.dims + 1 ? unsqueeze(c.x, 0) : c.x;
  return c.dims == 1 ? unsqueeze(x, 2) : x;
}
Tensor as_kernel(const Call& c) { return c.dims == 1 ? unsqueeze(c.weight, 2) : c.weight; }
Tensor as_given(const Call& c, Tensor y) {
  if (c.dims == 1) y = squeeze(y, 2);
  return c.x.rank() == c.dims + 1 ? squeeze(y, 0) : y;
}

// -- the two operations in either number of dimensions ------------------------------------------------------

// What lies before and after the image.
struct Border {
  int64_t before, after;
};
Border border_of(bool same, int64_t padding, int64_t dilation, int64_t kernel) {
  if (!same) return {padding, padding};
  int64_t total = dilation * (kernel - 1);
  return {total / 2, total - total / 2};
}

Tensor convolve(const Call& c, const Conv2dOptions& o) {
  c.check_tensors();
  c.at_least("stride", o.stride, 1);
  c.at_least("padding", o.padding, 0);
  c.at_least("dilation", o.dilation, 1);
  if (o.same && o.stride != Size2(1))
    throw ValueError(std::string(c.op) + ": same padding needs a stride of 1, it is " + c.pair(o.stride.height, o.stride.width));
  Tensor w = as_kernel(c), x = as_images(c);
  c.check_channels(x.shape()[1], w.shape()[1] * o.groups, w.shape()[0], o.groups, w.shape()[0]);
  Border rows = border_of(o.same, o.padding.height, o.dilation.height, w.shape()[2]),
         columns = border_of(o.same, o.padding.width, o.dilation.width, w.shape()[3]);
  Sizes padded{x.shape()[2] + rows.before + rows.after, x.shape()[3] + columns.before + columns.after};
  Sizes span{o.dilation.height * (w.shape()[2] - 1) + 1, o.dilation.width * (w.shape()[3] - 1) + 1};
  if (padded.h < span.h || padded.w < span.w)
    c.fail("the kernel spans " + c.pair(span.h, span.w) + ", the padded input " + c.pair(padded.h, padded.w) + ": " + c.shapes() +
           ", padding " + c.pair(rows.before, columns.before) + ", dilation " + c.pair(o.dilation.height, o.dilation.width));
  Sizes size{(padded.h - span.h) / o.stride.height + 1, (padded.w - span.w) / o.stride.width + 1};
  ConvGeometry g{{o.stride.height, o.stride.width}, {rows.before, columns.before}, {o.dilation.height, o.dilation.width}, o.groups};
  if (o.padding_mode != PadMode::constant) {
    std::vector<int64_t> border{columns.before, columns.after};
    if (c.dims == 2) border.insert(border.end(), {rows.before, rows.after});
    x = pad(x, border, o.padding_mode);
    g.padding[0] = g.padding[1] = 0;
  }
  return as_given(c, convolved(c.op, x, w, c.bias, g, size));
}

Tensor convolve_transposed(const Call& c, const ConvTranspose2dOptions& o) {
  c.check_tensors();
  c.at_least("stride", o.stride, 1);
  c.at_least("padding", o.padding, 0);
  c.at_least("output padding", o.output_padding, 0);
  c.at_least("dilation", o.dilation, 1);
  if (o.output_padding.height >= std::max(o.stride.height, o.dilation.height) ||
      o.output_padding.width >= std::max(o.stride.width, o.dilation.width))
    throw ValueError(std::string(c.op) + ": the output padding " + c.pair(o.output_padding.height, o.output_padding.width) +
                     " must be below the stride " + c.pair(o.stride.height, o.stride.width) + " or the dilation " +
                     c.pair(o.dilation.height, o.dilation.width));
  Tensor w = as_kernel(c), x = as_images(c);
  c.check_channels(x.shape()[1], w.shape()[0], w.shape()[0], o.groups, w.shape()[1] * o.groups);
  auto size_of = [&](int d, int64_t stride, int64_t padding, int64_t dilation, int64_t added) {
    return (x.shape()[d] - 1) * stride - 2 * padding + dilation * (w.shape()[d] - 1) + added + 1;
  };
  Sizes size{size_of(2, o.stride.height, o.padding.height, o.dilation.height, o.output_padding.height),
             size_of(3, o.stride.width, o.padding.width, o.dilation.width, o.output_padding.width)};
  if (size.h < 1 || size.w < 1 || x.shape()[2] < 1 || x.shape()[3] < 1)
    c.fail("the result would be " + c.pair(size.h, size.w) + ": " + c.shapes() + ", stride " + c.pair(o.stride.height, o.stride.width) +
           ", padding " + c.pair(o.padding.height, o.padding.width));
  ConvGeometry g{{o.stride.height, o.stride.width}, {o.padding.height, o.padding.width}, {o.dilation.height, o.dilation.width}, o.groups};
  return as_given(c, transposed(c.op, x, w, c.bias, g, size));
}

// The weight in the type that autocast chose and in the order in which the device reads it, by one copy; its gradient comes back row-major.
Tensor as_factor(const Tensor& weight, int64_t groups) {
  DType given = weight.dtype(), type = given == f32 ? Autocast::type() : given;
  if (weight.rank() < 3 || groups < 1 || !multiplies_channels_last(weight.device(), type, weight.shape(), groups) || is_dense(weight, true))
    return detail::autocast(weight);
  Tensor w = empty_in_order(weight.shape(), type, weight.device(), "conv", true);
  kernel::copy(weight.device(), weight, w);
  return record("to", w, {weight}, saving(), [given](const Grads& dy, const Saved&, Needs) -> Grads {
    if (grad_enabled()) return to(contiguous(dy[0]), given);
    Tensor rows = empty(dy[0].shape(), given, dy[0].device(), "conv_backward_weight");
    kernel::copy(rows.device(), dy[0], rows);
    return rows;
  });
}

}  // namespace

Tensor conv2d(const Tensor& x, const Tensor& weight, const Tensor& bias, const Conv2dOptions& options) {
  Tensor a = detail::autocast(x), w = as_factor(weight, options.groups), b = detail::autocast(bias);
  return convolve({"conv2d", 2, a, w, b}, options);
}

Tensor conv1d(const Tensor& x, const Tensor& weight, const Tensor& bias, const Conv1dOptions& o) {
  Tensor a = detail::autocast(x), w = as_factor(weight, o.groups), b = detail::autocast(bias);
  return convolve({"conv1d", 1, a, w, b}, {.stride = {1, o.stride},
                                           .padding = {0, o.padding},
                                           .dilation = {1, o.dilation},
                                           .groups = o.groups,
                                           .padding_mode = o.padding_mode,
                                           .same = o.same});
}

Tensor conv_transpose2d(const Tensor& x, const Tensor& weight, const Tensor& bias, const ConvTranspose2dOptions& options) {
  Tensor a = detail::autocast(x), w = as_factor(weight, options.groups), b = detail::autocast(bias);
  return convolve_transposed({"conv_transpose2d", 2, a, w, b}, options);
}

Tensor conv_transpose1d(const Tensor& x, const Tensor& weight, const Tensor& bias, const ConvTranspose1dOptions& o) {
  Tensor a = detail::autocast(x), w = as_factor(weight, o.groups), b = detail::autocast(bias);
  return convolve_transposed({"conv_transpose1d", 1, a, w, b}, {.stride = {1, o.stride},
                                                                .padding = {0, o.padding},
                                                                .output_padding = {0, o.output_padding},
                                                                .dilation = {1, o.dilation},
                                                                .groups = o.groups});
}

}  // namespace plumb

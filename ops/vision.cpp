// Windows as columns, and channels that become places: rearrangements of elements, each the adjoint or the inverse of another.
#include "ops/vision.h"

#include "engine/autograd/record.h"
#include "ops/kernels/resample.h"
#include "ops/own_memory.h"
#include "ops/resample.h"
#include "ops/shape.h"

namespace plumb {
namespace {

int64_t windows_along(int64_t size, int64_t kernel, int64_t stride, int64_t padding, int64_t dilation) {
  const int64_t room = size + 2 * padding - dilation * (kernel - 1) - 1;
  return room < 0 ? 0 : room / stride + 1;
}

std::string pair(Size2 s) { return std::to_string(s.height) + "×" + std::to_string(s.width); }

void at_least(const char* op, const char* what, Size2 value, int64_t least) {
  if (value.height < least || value.width < least)
    throw ValueError(std::string(op) + ": the " + what + " must be at least " + std::to_string(least) + ", it is " + pair(value));
}

// The windows over an image of `size`.
Size2 windows_of(const char* op, Size2 size, Size2 kernel, const UnfoldOptions& o) {
  at_least(op, "kernel", kernel, 1);
  at_least(op, "stride", o.stride, 1);
  at_least(op, "padding", o.padding, 0);
  at_least(op, "dilation", o.dilation, 1);
  Size2 n{windows_along(size.height, kernel.height, o.stride.height, o.padding.height, o.dilation.height),
          windows_along(size.width, kernel.width, o.stride.width, o.padding.width, o.dilation.width)};
  if (n.height < 1 || n.width < 1)
    throw ShapeError(std::string(op) + ": no window fits: image " + pair(size) + ", kernel " + pair(kernel) + ", padding " +
                     pair(o.padding) + ", dilation " + pair(o.dilation));
  return n;
}

ConvGeometry geometry(const UnfoldOptions& o) {
  return {{o.stride.height, o.stride.width}, {o.padding.height, o.padding.width}, {o.dilation.height, o.dilation.width}, 1};
}

// x [planes, H, W] → [planes, kh, kw, oh, ow], and back. Each is the derivative of the other.
Tensor folded(const Tensor& y, Size2 size, const ConvGeometry& g);
Tensor unfolded(const Tensor& x, Size2 kernel, Size2 windows, const ConvGeometry& g) {
  Tensor y = empty({x.shape()[0], kernel.height, kernel.width, windows.height, windows.width}, x.dtype(), x.device(), "unfold");
  kernel::unfold(x.device(), contiguous_data(x), g, y);
  return record("unfold", y, {x}, saving(), [g, size = Size2(x.shape()[1], x.shape()[2])](const Grads& dy, const Saved&, Needs) -> Grads {
    return folded(dy[0], size, g);
  });
}
Tensor folded(const Tensor& y, Size2 size, const ConvGeometry& g) {
  Tensor x = empty({y.shape()[0], size.height, size.width}, y.dtype(), y.device(), "fold");
  kernel::fold(y.device(), contiguous_data(y), g, x);
  const Shape& s = y.shape();
  return record("fold", x, {y}, saving(),
                [g, kernel = Size2(s[1], s[2]), windows = Size2(s[3], s[4])](const Grads& dx, const Saved&, Needs) -> Grads {
                  return unfolded(dx[0], kernel, windows, g);
                });
}

void check_factor(const char* op, int64_t factor) {
  if (factor < 1) throw ValueError(std::string(op) + ": the factor must be at least 1, it is " + std::to_string(factor));
}

}  // namespace

Tensor unfold(const Tensor& input, Size2 kernel, const UnfoldOptions& o) {
  Tensor image = detail::with_height("unfold", input, 2), x = input.rank() == 3 ? unsqueeze(image, 0) : image;
  const Shape& s = x.shape();
  Size2 windows = windows_of("unfold", {s[2], s[3]}, kernel, o);
  Tensor y = unfolded(reshape(x, {s[0] * s[1], s[2], s[3]}), kernel, windows, geometry(o));
  y = reshape(y, {s[0], s[1] * kernel.height * kernel.width, windows.height * windows.width});
  return input.rank() == 3 ? squeeze(y, 0) : y;
}

Tensor fold(const Tensor& columns, Size2 size, Size2 kernel, const UnfoldOptions& o) {
  if (!is_floating(columns.dtype())) throw DTypeError("fold: takes a floating tensor, got " + std::string(name(columns.dtype())));
  if (columns.rank() != 2 && columns.rank() != 3)
    throw ShapeError("fold: takes [batch, channels · kernel, windows], got " + to_string(columns.shape()));
  Size2 windows = windows_of("fold", size, kernel, o);
  Tensor y = columns.rank() == 2 ? unsqueeze(columns, 0) : columns;
  const Shape& s = y.shape();
  const int64_t entries = kernel.height * kernel.width;
  if (s[1] % entries != 0 || s[2] != windows.height * windows.width)
    throw ShapeError("fold: " + to_string(columns.shape()) + " is not channels · " + pair(kernel) + " by " + pair(windows) +
                     " windows of an image " + pair(size));
  const int64_t channels = s[1] / entries;
  Tensor x = folded(reshape(y, {s[0] * channels, kernel.height, kernel.width, windows.height, windows.width}), size, geometry(o));
  x = reshape(x, {s[0], channels, size.height, size.width});
  return columns.rank() == 2 ? squeeze(x, 0) : x;
}

Tensor pixel_shuffle(const Tensor& x, int64_t r) {
  check_factor("pixel_shuffle", r);
  if (x.rank() < 3 || x.size(-3) % (r * r) != 0)
    throw ShapeError("pixel_shuffle: takes [.., channels · " + std::to_string(r * r) + ", height, width], got " + to_string(x.shape()));
  Shape lead = x.shape().slice(0, x.rank() - 3), result = lead;
  const int64_t n = numel(lead), c = x.size(-3) / (r * r), h = x.size(-2), w = x.size(-1);
  for (int64_t size : {c, h * r, w * r}) result.push_back(size);
  return detail::with_own_memory(reshape(permute(reshape(x, {n, c, r, r, h, w}), {0, 1, 4, 2, 5, 3}), result), x);
}

Tensor pixel_unshuffle(const Tensor& x, int64_t r) {
  check_factor("pixel_unshuffle", r);
  if (x.rank() < 3 || x.size(-2) % r != 0 || x.size(-1) % r != 0)
    throw ShapeError("pixel_unshuffle: takes [.., channels, height · " + std::to_string(r) + ", width · " + std::to_string(r) + "], got " +
                     to_string(x.shape()));
  Shape lead = x.shape().slice(0, x.rank() - 3), result = lead;
  const int64_t n = numel(lead), c = x.size(-3), h = x.size(-2) / r, w = x.size(-1) / r;
  for (int64_t size : {c * r * r, h, w}) result.push_back(size);
  return detail::with_own_memory(reshape(permute(reshape(x, {n, c, h, r, w, r}), {0, 1, 3, 5, 2, 4}), result), x);
}

Tensor channel_shuffle(const Tensor& x, int64_t groups) {
  if (groups < 1) throw ValueError("channel_shuffle: groups must be at least 1, it is " + std::to_string(groups));
  if (x.rank() < 2 || x.size(1) % groups != 0)
    throw ShapeError("channel_shuffle: takes [batch, " + std::to_string(groups) + " · channels, ..], got " + to_string(x.shape()));
  const Shape& s = x.shape();
  return detail::with_own_memory(reshape(transpose(reshape(x, {s[0], groups, s[1] / groups, numel(s.slice(2, s.rank()))}), 1, 2), s), x);
}

}  // namespace plumb

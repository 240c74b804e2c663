// Convolution of volumes, expressed as convolutions of images: depth windows become channels on the way in, and channels are added up along
// the depth on the way out. Derivatives are those of the parts.
#include "ops/conv3d.h"

#include <algorithm>
#include <string>
#include <vector>

#include "engine/core/error.h"
#include "ops/conv.h"
#include "ops/create.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/pad.h"
#include "ops/pointwise.h"
#include "ops/shape.h"

namespace plumb {
namespace {

Size2 plane(const Size3& s) { return {s.height, s.width}; }

void at_least(const char* op, const char* what, const Size3& s, int64_t least) {
  if (s.depth < least || s.height < least || s.width < least)
    throw ValueError(std::string(op) + ": the " + what + " must be at least " + std::to_string(least) + ", it is (" +
                     std::to_string(s.depth) + ", " + std::to_string(s.height) + ", " + std::to_string(s.width) + ")");
}

// What convolution of images does not see: ranks, groups along the channels, and the bias, which is one number a channel.
void check(const char* op, const Tensor& x, const Tensor& weight, const Tensor& bias, int64_t in, int64_t out, int64_t groups) {
  if (groups < 1) throw ValueError(std::string(op) + ": groups must be at least 1, it is " + std::to_string(groups));
  if (x.size(1) != in || x.size(1) % groups != 0 || weight.size(0) % groups != 0)
    throw ShapeError(std::string(op) + ": x " + to_string(x.shape()) + " does not fit the weight " + to_string(weight.shape()) + " in " +
                     std::to_string(groups) + (groups == 1 ? " group" : " groups"));
  if (bias.defined() && bias.shape() != Shape{out})
    throw ShapeError(std::string(op) + ": the bias is " + to_string(bias.shape()) + ", not " + to_string(Shape{out}));
}

void check_ranks(const char* op, const Tensor& x, const Tensor& weight) {
  if ((x.rank() != 4 && x.rank() != 5) || weight.rank() != 5)
    throw ShapeError(std::string(op) + ": takes x [N, C, D, H, W] or [C, D, H, W] and a weight of rank 5, not " + to_string(x.shape()) +
                     " and " + to_string(weight.shape()));
}

// [N, C, D, H, W] with its depth windows as channels of images: [N, D', C · kd, H, W], channel c kd + p the plane p of the window.
Tensor depth_windows(const Tensor& x, int64_t kernel, const Conv3dOptions& o, int64_t depth) {
  Tensor padded = o.padding.depth > 0 ? pad(x, {0, 0, 0, 0, o.padding.depth, o.padding.depth}) : x;
  std::vector<Tensor> planes;
  for (int64_t p = 0; p < kernel; ++p) {
    int64_t first = p * o.dilation.depth;
    planes.push_back(transpose(slice(padded, 2, first, first + (depth - 1) * o.stride.depth + 1, o.stride.depth), 1, 2));
  }
  return flatten(stack(planes, 3), 2, 3);
}

}  // namespace

Tensor conv3d(const Tensor& x, const Tensor& weight, const Tensor& bias, const Conv3dOptions& o) {
  const char* op = "conv3d";
  check_ranks(op, x, weight);
  if (x.rank() == 4) return squeeze(conv3d(unsqueeze(x, 0), weight, bias, o), 0);
  at_least(op, "stride", o.stride, 1), at_least(op, "padding", o.padding, 0), at_least(op, "dilation", o.dilation, 1);
  check(op, x, weight, bias, weight.size(1) * o.groups, weight.size(0), o.groups);
  int64_t kernel = weight.size(2), extent = x.size(2) + 2 * o.padding.depth - o.dilation.depth * (kernel - 1) - 1;
  if (kernel == 0 || extent < 0)
    throw ShapeError(std::string(op) + ": a kernel " + to_string(weight.shape()) + " does not fit into the padded depth of x " +
                     to_string(x.shape()));
  int64_t depth = extent / o.stride.depth + 1, batch = x.size(0);
  Tensor images = flatten(depth_windows(x, kernel, o, depth), 0, 1);
  Tensor y = conv2d(images, flatten(weight, 1, 2), bias,
                    {.stride = plane(o.stride), .padding = plane(o.padding), .dilation = plane(o.dilation), .groups = o.groups});
  return contiguous(transpose(unflatten(y, 0, {batch, depth}), 1, 2));
}

Tensor conv_transpose3d(const Tensor& x, const Tensor& weight, const Tensor& bias, const ConvTranspose3dOptions& o) {
  const char* op = "conv_transpose3d";
  check_ranks(op, x, weight);
  if (x.rank() == 4) return squeeze(conv_transpose3d(unsqueeze(x, 0), weight, bias, o), 0);
  at_least(op, "stride", o.stride, 1), at_least(op, "padding", o.padding, 0), at_least(op, "output padding", o.output_padding, 0),
      at_least(op, "dilation", o.dilation, 1);
  int64_t out = weight.size(1) * o.groups, kernel = weight.size(2), batch = x.size(0), depth = x.size(2);
  check(op, x, weight, bias, weight.size(0), out, o.groups);
  if (o.output_padding.depth >= std::max(o.stride.depth, o.dilation.depth))
    throw ValueError(std::string(op) + ": the output padding must be below the stride or the dilation, it is " +
                     std::to_string(o.output_padding.depth) + " along the depth");
  int64_t whole = (depth - 1) * o.stride.depth + o.dilation.depth * (kernel - 1) + 1,
          kept = whole + o.output_padding.depth - 2 * o.padding.depth;
  if (kernel == 0 || depth == 0 || kept < 1)
    throw ShapeError(std::string(op) + ": nothing is left of the depth of x " + to_string(x.shape()) + " with the kernel " +
                     to_string(weight.shape()));
  Tensor images = flatten(transpose(x, 1, 2), 0, 1);
  Tensor y = conv_transpose2d(images, flatten(weight, 1, 2), {},
                              {.stride = plane(o.stride),
                               .padding = plane(o.padding),
                               .output_padding = plane(o.output_padding),
                               .dilation = plane(o.dilation),
                               .groups = o.groups});
  y = unflatten(unflatten(y, 1, {out, kernel}), 0, {batch, depth});  // [N, D, O, kd, H', W']
  Tensor sum = zeros({batch, whole + o.output_padding.depth, out, y.size(-2), y.size(-1)}, y.dtype(), y.device());
  for (int64_t p = 0; p < kernel; ++p)
    sum = index_add(sum, 1,
                    arange(p * o.dilation.depth, p * o.dilation.depth + (depth - 1) * o.stride.depth + 1, o.stride.depth, i64, y.device()),
                    select(y, 3, p));
  Tensor cut = transpose(narrow(sum, 1, o.padding.depth, kept), 1, 2);
  if (bias.defined()) cut = cut + reshape(to(bias, cut.dtype()), {out, 1, 1, 1});
  return contiguous(cut);
}

}  // namespace plumb

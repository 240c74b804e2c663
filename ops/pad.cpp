// Padding: a constant is filled in around a copy; the other modes read x at chosen places, one dimension after the other.
#include "ops/pad.h"

#include <algorithm>

#include "engine/autograd/record.h"
#include "engine/core/channels_last.h"
#include "engine/core/data_kernels.h"
#include "ops/index.h"
#include "ops/own_memory.h"
#include "ops/pointwise.h"
#include "ops/shape.h"

namespace plumb {
namespace {

// dx = the part of dy that x lies in
Tensor pad_constant(const Tensor& x, int dim, int64_t before, int64_t after, Scalar value) {
  Shape shape = x.shape();
  const int64_t size = shape[dim];
  shape[dim] = before + size + after;
  Tensor y = empty_in_order(shape, x.dtype(), x.device(), "pad", channels_last(x));
  {
    NoGrad off;
    fill_(y, value);
  }
  Tensor inside = view_of(y, x.shape(), y.strides(), y.numel() == 0 ? 0 : before * y.strides()[dim]);
  kernel::copy(x.device(), x, inside);
  return record("pad", y, {x}, saving(), [=](const Grads& dy, const Saved&, Needs) -> Grads { return narrow(dy[0], dim, before, size); });
}

const char* name_of(PadMode mode) { return mode == PadMode::reflect ? "reflect" : mode == PadMode::replicate ? "replicate" : "circular"; }

Tensor pad_by_reading(const Tensor& x, int dim, int64_t before, int64_t after, PadMode mode) {
  const int64_t size = x.shape()[dim], most = mode == PadMode::reflect    ? size - 1
                                              : mode == PadMode::circular ? size
                                              : size > 0                  ? INT64_MAX
                                                                          : 0;
  if (std::max(before, after) > std::max<int64_t>(0, most))
    throw ShapeError("pad: " + std::string(name_of(mode)) + " padding (" + std::to_string(before) + ", " + std::to_string(after) +
                     ") needs a larger dimension " + std::to_string(dim) + ": the input is " + to_string(x.shape()));
  std::vector<int64_t> places;
  for (int64_t i = -before; i < size + after; ++i) {
    if (mode == PadMode::reflect) places.push_back(i < 0 ? -i : i >= size ? 2 * (size - 1) - i : i);
    else if (mode == PadMode::replicate) places.push_back(std::clamp<int64_t>(i, 0, size - 1));
    else places.push_back((i + size) % size);
  }
  return index_select(x, dim, to(from_vector(places), x.device()));
}

}  // namespace

Tensor pad(const Tensor& input, const std::vector<int64_t>& padding, PadMode mode, Scalar value) {
  if (padding.size() % 2 != 0) throw ValueError("pad: takes pairs of numbers, got " + std::to_string(padding.size()));
  if (static_cast<int>(padding.size()) > 2 * input.rank())
    throw ValueError("pad: " + std::to_string(padding.size() / 2) + " pairs for the " + std::to_string(input.rank()) + " dimensions of " +
                     to_string(input.shape()));
  Tensor x = input;
  for (size_t i = 0; i < padding.size(); i += 2) {  // all checked before anything is made
    const int64_t size = x.shape()[x.rank() - 1 - static_cast<int>(i / 2)],
                  cut = std::max<int64_t>(0, -padding[i]) + std::max<int64_t>(0, -padding[i + 1]);
    if (cut > size)
      throw ShapeError("pad: (" + std::to_string(padding[i]) + ", " + std::to_string(padding[i + 1]) + ") cuts off more than dimension " +
                       std::to_string(x.rank() - 1 - static_cast<int>(i / 2)) + " of " + to_string(x.shape()) + " has");
  }
  for (size_t i = 0; i < padding.size(); i += 2) {
    const int dim = x.rank() - 1 - static_cast<int>(i / 2);
    const int64_t before = padding[i], after = padding[i + 1];
    if (before < 0 || after < 0) x = slice(x, dim, std::max<int64_t>(0, -before), x.shape()[dim] - std::max<int64_t>(0, -after));
    const int64_t added_before = std::max<int64_t>(0, before), added_after = std::max<int64_t>(0, after);
    if (added_before + added_after == 0) continue;
    x = mode == PadMode::constant ? pad_constant(x, dim, added_before, added_after, value)
                                  : pad_by_reading(x, dim, added_before, added_after, mode);
  }
  return detail::with_own_memory(x, input);
}

}  // namespace plumb

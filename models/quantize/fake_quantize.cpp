// Fake quantisation in plain operations: a few passes forward, and one closure backward.
#include "models/quantize/fake_quantize.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "engine/autograd/record.h"
#include "ops/elementary.h"
#include "ops/pointwise.h"
#include "ops/shape.h"

namespace plumb::quantize {

void check_bits(int bits) {
  if (bits < kLeastBits || bits > kMostBits)
    throw ValueError("quantize: " + std::to_string(bits) + " bits are not supported; choose " + std::to_string(kLeastBits) + " to " +
                     std::to_string(kMostBits));
}

CodeRange signed_codes(int bits) {
  check_bits(bits);
  int64_t half = int64_t{1} << (bits - 1);
  return {-half, half - 1};
}

CodeRange unsigned_codes(int bits) {
  check_bits(bits);
  return {0, (int64_t{1} << bits) - 1};
}

namespace {

// s or β as a shape that broadcasts against v.
Tensor broadcastable(const char* what, const Tensor& t, const Tensor& v, int axis) {
  if (t.numel() == 1) return reshape(t, Shape::filled(v.rank(), 1));
  int along = checked_dim("fake_quantize", axis, v.rank());
  if (t.rank() != 1 || v.rank() == 0 || t.numel() != v.size(along))
    throw ShapeError(std::string("fake_quantize: ") + what + " " + to_string(t.shape()) +
                     " is neither one number nor one for each place of dimension " + std::to_string(along) + " of " + to_string(v.shape()));
  Shape shape = Shape::filled(v.rank(), 1);
  shape[along] = t.numel();
  return reshape(t, shape);
}

struct Grid {
  Tensor step, offset;  // broadcast against v; the offset may be undefined
  double low, high;

  Tensor scaled(const Tensor& v) const { return (offset.defined() ? v - offset : v) / step; }
  Tensor limited(const Tensor& scaled) const { return clamp(scaled, low, high); }
};

Grid grid_of(const Tensor& v, const Tensor& scale, const Tensor& offset, const FakeQuantizeOptions& o) {
  if (!is_floating(v.dtype())) unsupported_dtype("fake_quantize", v.dtype());
  if (o.codes.low >= o.codes.high)
    throw ValueError("fake_quantize: code " + decimal(o.codes.low) + " is not below code " + decimal(o.codes.high));
  return {abs(broadcastable("scale", scale, v, o.axis)) + o.eps, offset.defined() ? broadcastable("offset", offset, v, o.axis) : Tensor(),
          static_cast<double>(o.codes.low), static_cast<double>(o.codes.high)};
}

}  // namespace

Tensor codes_of(const Tensor& v, const Tensor& scale, const Tensor& offset, const FakeQuantizeOptions& o) {
  NoGrad off;
  Grid grid = grid_of(v, scale, offset, o);
  return round(grid.limited(grid.scaled(v)));
}

Tensor fake_quantize(const Tensor& v, const Tensor& scale, const Tensor& offset, const FakeQuantizeOptions& o) {
  Tensor y;
  {
    NoGrad off;
    Grid grid = grid_of(v, scale, offset, o);
    y = round(grid.limited(grid.scaled(v))) * grid.step;
    if (grid.offset.defined()) y = y + grid.offset;
  }
  return record("fake_quantize", y, {v, scale, offset}, saving(v, scale, offset),
                [o](const Grads& dy, const Saved& s, Needs needs) -> Grads {
                  Tensor v = s[0], scale = s[1], offset = s[2];
                  Tensor inside, slope;  // constants: of the graph of a second derivative only dy is part
                  {
                    NoGrad off;
                    Grid grid = grid_of(v, scale, offset, o);
                    Tensor u = grid.scaled(v), limited = grid.limited(u);
                    inside = u == limited;
                    if (needs[1]) {
                      Tensor along = broadcastable("scale", scale, v, o.axis), factor = full({}, o.gradient_scale, v.dtype(), v.device());
                      slope = (round(limited) - where(inside, u, 0)) * where(along < 0, -factor, factor);
                    }
                  }
                  auto summed = [&](const Tensor& g, const Tensor& like) {
                    return reshape(sum_to(g, broadcastable("scale", like, v, o.axis).shape()), like.shape());
                  };
                  Tensor dv, dscale, doffset;
                  if (needs[0]) dv = where(inside, dy[0], 0);
                  if (needs[1]) dscale = summed(dy[0] * slope, scale);
                  if (needs[2]) doffset = summed(where(inside, 0, dy[0]) * o.gradient_scale, offset);
                  return {dv, dscale, doffset};
                });
}

double scale_gradient(const Tensor& v, const CodeRange& codes, bool per_channel) {
  auto high = static_cast<double>(std::max<int64_t>(1, codes.high));
  auto elements = static_cast<double>(std::max<int64_t>(1, v.numel()));
  if (!per_channel) return 1 / std::sqrt(high * elements);
  return 2 / std::sqrt(high * elements / static_cast<double>(v.rank() > 1 ? std::max<int64_t>(1, v.size(1)) : 1));
}

}  // namespace plumb::quantize

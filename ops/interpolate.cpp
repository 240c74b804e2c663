// Resizing images: along each dimension an output place reads a few input places with fixed weights (resample.h).
#include <algorithm>
#include <cmath>

#include "ops/resample.h"
#include "ops/shape.h"
#include "ops/vision.h"

namespace plumb {
namespace {

// Weights of the four places around t ∈ [0, 1) on the cubic convolution curve with parameter a (Keys 1981).
void cubic_weights(double t, double (&w)[4]) {
  constexpr double a = -0.75;
  auto near = [](double d) { return ((a + 2) * d - (a + 3)) * d * d + 1; };          // |d| ≤ 1
  auto far = [](double d) { return ((a * d - 5 * a) * d + 8 * a) * d - 4 * a; };     // 1 < |d| < 2
  w[0] = far(t + 1), w[1] = near(t), w[2] = near(1 - t), w[3] = far(2 - t);
}

// What the output place that lies at `at` of the input reads.
void read_between(detail::AxisMapBuilder& builder, Interpolation mode, double at, int64_t size) {
  if (mode == Interpolation::linear) at = std::max(at, 0.0);
  const auto left = static_cast<int64_t>(std::floor(at));
  const double t = at - static_cast<double>(left);
  auto inside = [size](int64_t i) { return std::clamp<int64_t>(i, 0, size - 1); };
  if (mode == Interpolation::linear) {
    builder.read(inside(left), 1 - t);
    if (t > 0) builder.read(inside(left + 1), t);
    return;
  }
  double w[4];
  cubic_weights(t, w);
  for (int i = 0; i < 4; ++i) builder.read(inside(left - 1 + i), w[i]);
}

// `step`: the distance of neighbouring output places, in input places.
AxisMap interpolation_map(const InterpolateOptions& o, int64_t size, int64_t outputs, double step, Device device) {
  detail::AxisMapBuilder builder(size);
  for (int64_t i = 0; i < outputs; ++i) {
    const auto place = static_cast<double>(i);
    if (o.mode == Interpolation::nearest) {
      builder.read(o.size ? i * size / outputs : std::min<int64_t>(size - 1, static_cast<int64_t>(std::floor(place * step))));
    } else if (o.mode == Interpolation::area) {
      const int64_t begin = i * size / outputs, end = ((i + 1) * size + outputs - 1) / outputs;
      for (int64_t at = begin; at < end; ++at) builder.read(at, 1 / static_cast<double>(end - begin));
    } else {
      const double corners = outputs > 1 ? static_cast<double>(size - 1) / static_cast<double>(outputs - 1) : 0;
      read_between(builder, o.mode, o.align_corners ? place * corners : (place + 0.5) * step - 0.5, size);
    }
    builder.finish_output();
  }
  return builder.build(device);
}

struct Resizing {
  int64_t outputs;
  double step;
};
Resizing resizing(const InterpolateOptions& o, int64_t size, int64_t wanted, double scale) {
  if (o.size) return {wanted, static_cast<double>(size) / static_cast<double>(std::max<int64_t>(1, wanted))};
  return {static_cast<int64_t>(std::floor(static_cast<double>(size) * scale)), 1 / scale};
}

std::string spatial(const Tensor& x) { return to_string(x.shape().slice(2, x.rank())); }

void check_options(const Tensor& x, const InterpolateOptions& o) {
  if (!is_floating(x.dtype())) throw DTypeError("interpolate: takes a floating tensor, got " + std::string(name(x.dtype())));
  if (x.rank() != 3 && x.rank() != 4)
    throw ShapeError("interpolate: takes [batch, channels, length] or [batch, channels, height, width], got " + to_string(x.shape()));
  if (o.size.has_value() == (o.scale != 0)) throw ValueError("interpolate: takes a size or a scale");
  if (o.scale < 0 || o.scale_width < 0 || !std::isfinite(o.scale) || !std::isfinite(o.scale_width))
    throw ValueError("interpolate: the scale must be positive, it is " + decimal(o.scale) +
                     (o.scale_width != 0 ? ", " + decimal(o.scale_width) : ""));
  if (x.rank() == 3 && o.mode == Interpolation::bicubic)
    throw ValueError("interpolate: bicubic takes images [batch, channels, height, width], got " + to_string(x.shape()));
  if (o.align_corners && (o.mode == Interpolation::nearest || o.mode == Interpolation::area))
    throw ValueError("interpolate: align_corners is for linear and bicubic interpolation");
}

}  // namespace

Tensor interpolate(const Tensor& x, const InterpolateOptions& o) {
  check_options(x, o);
  const bool image = x.rank() == 4;
  const int64_t height = image ? x.size(2) : 1, width = x.size(-1);
  const Size2 wanted = o.size.value_or(Size2(0));
  const Resizing rows = image ? resizing(o, height, wanted.height, o.scale) : Resizing{1, 1};
  const Resizing columns = resizing(o, width, wanted.width, o.scale_width != 0 ? o.scale_width : o.scale);
  if (height < 1 || width < 1 || rows.outputs < 1 || columns.outputs < 1)
    throw ShapeError("interpolate: cannot resize " + spatial(x) + " to " +
                     (image ? to_string({rows.outputs, columns.outputs}) : to_string({columns.outputs})));
  const AxisMap row_map = interpolation_map(o, height, rows.outputs, rows.step, x.device()),
                column_map = interpolation_map(o, width, columns.outputs, columns.step, x.device());
  Tensor y = detail::resample("interpolate", image ? x : unsqueeze(x, 2), row_map, column_map);
  return image ? y : squeeze(y, 2);
}

}  // namespace plumb

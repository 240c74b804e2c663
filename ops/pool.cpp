// Pooling. Windows along one dimension are an AxisMap (resample.h), so all kinds share two kernels: the sum of a window is linear, the
// largest sends its gradient to the place where it was.
#include "ops/pool.h"

#include "engine/autograd/record.h"
#include "engine/core/channels_last.h"
#include "ops/index.h"
#include "ops/pointwise.h"
#include "ops/resample.h"
#include "ops/shape.h"

namespace plumb {
namespace {

using detail::AxisMapBuilder;

// Windows along one dimension.
struct Windows {
  int64_t size, window, stride, padding, dilation;
  bool ceil_mode;

  int64_t span() const { return dilation * (window - 1) + 1; }
  int64_t count() const {
    const int64_t room = size + 2 * padding - span();
    if (room < 0) return 0;
    int64_t n = (ceil_mode ? room + stride - 1 : room) / stride + 1;
    if (ceil_mode && (n - 1) * stride >= size + padding) --n;  // the last window must begin before the padding at the end
    return n;
  }
  AxisMap map(Device device) const {
    AxisMapBuilder builder(size);
    for (int64_t i = 0; i < count(); ++i) {
      for (int64_t k = 0; k < window; ++k) {
        const int64_t at = i * stride - padding + k * dilation;
        if (at >= 0 && at < size) builder.read(at);
      }
      builder.finish_output();
    }
    return builder.build(device);
  }
  // Size of each window within the padded input.
  std::vector<int64_t> padded_counts() const {
    std::vector<int64_t> n;
    for (int64_t i = 0; i < count(); ++i) n.push_back(std::min(i * stride - padding + window, size + padding) - (i * stride - padding));
    return n;
  }
};

struct PoolCall {
  const char* op;
  int dims;
  const Tensor& x;
  Size2 window, stride, padding, dilation;
  bool ceil_mode;

  std::string pair(Size2 s) const { return dims == 1 ? std::to_string(s.width) : std::to_string(s.height) + "×" + std::to_string(s.width); }
  void at_least(const char* what, Size2 value, int64_t least) const {
    if (value.height < least || value.width < least)
      throw ValueError(std::string(op) + ": the " + what + " must be at least " + std::to_string(least) + ", it is " + pair(value));
  }
  Windows rows(const Tensor& image) const {
    return {image.size(-2), window.height, stride.height, padding.height, dilation.height, ceil_mode};
  }
  Windows columns(const Tensor& image) const {
    return {image.size(-1), window.width, stride.width, padding.width, dilation.width, ceil_mode};
  }

  // A stride of 0 is the window's size.
  void complete() {
    at_least("window", window, 1);
    at_least("stride", stride, 0);
    at_least("padding", padding, 0);
    at_least("dilation", dilation, 1);
    if (stride.height == 0) stride.height = window.height;
    if (stride.width == 0) stride.width = window.width;
    if (2 * padding.height > window.height || 2 * padding.width > window.width)
      throw ValueError(std::string(op) + ": the padding " + pair(padding) + " is more than half the window " + pair(window));
  }
  void check_fit(const Tensor& image) const {
    if (rows(image).count() < 1 || columns(image).count() < 1)
      throw ShapeError(std::string(op) + ": no window fits: input " + to_string(x.shape()) + ", window " + pair(window) + ", padding " +
                       pair(padding) + ", dilation " + pair(dilation));
  }
};

// y = the largest of each window,   dx = dy at its place
ValuesAndIndices window_max(const char* op, const Tensor& image, const AxisMap& rows, const AxisMap& columns) {
  const Shape lead = image.shape().slice(0, image.rank() - 2);
  const int64_t planes = numel(lead), places = rows.outputs * columns.outputs;
  Shape shape = lead;
  shape.push_back(rows.outputs);
  shape.push_back(columns.outputs);
  const bool last = detail::side_by_side(image);
  Tensor y = empty_in_order(shape, image.dtype(), image.device(), op, last), place = empty_in_order(shape, i64, image.device(), op, last);
  Tensor flat_y = detail::as_planes(y, last), flat_place = detail::as_planes(place, last);
  kernel::window_max(image.device(), detail::as_planes(image, last), rows, columns, flat_y, flat_place);
  auto out = record(op, std::array{y, place}, {image}, saving(place),
                    [=, before = image.shape()](const Grads& dy, const Saved& s, Needs) -> Grads {
                      if (!grad_enabled()) {  // no sorting of places, and either order
                        const bool last = detail::side_by_side(s[0]);
                        Tensor dx = empty_in_order(before, dy[0].dtype(), dy[0].device(), "max_pool_backward", last),
                               flat_dx = detail::as_planes(dx, last);
                        kernel::window_max_backward(dx.device(), detail::as_planes(dy[0], last), detail::as_planes(s[0], last),
                                                    detail::transposed_map(rows), detail::transposed_map(columns), flat_dx);
                        return dx;
                      }
                      Tensor zero = zeros({planes, before[before.rank() - 2] * before.back()}, dy[0].dtype(), dy[0].device());
                      return reshape(scatter_add(zero, 1, reshape(s[0], {planes, places}), reshape(dy[0], {planes, places})), before);
                    });
  return {out[0], out[1]};
}

void check_every_window_reads(const PoolCall& c, const AxisMap& m) {
  for (int64_t n : detail::counts(m))
    if (n == 0)
      throw ShapeError(std::string(c.op) + ": a window lies in the padding alone: input " + to_string(c.x.shape()) + ", window " +
                       c.pair(c.window) + ", padding " + c.pair(c.padding) + ", dilation " + c.pair(c.dilation));
}

ValuesAndIndices max_pool(PoolCall c) {
  Tensor image = detail::with_height(c.op, c.x, c.dims);
  c.complete();
  c.check_fit(image);
  AxisMap rows = c.rows(image).map(c.x.device()), columns = c.columns(image).map(c.x.device());
  check_every_window_reads(c, rows);
  check_every_window_reads(c, columns);
  ValuesAndIndices y = window_max(c.op, image, rows, columns);
  return {detail::without_height(y.values, c.dims), detail::without_height(y.indices, c.dims)};
}

// Sums of windows, divided by rows[i] · columns[j]. Dividing afterwards keeps means of equal numbers exact.
Tensor divided(const Tensor& sums, const std::vector<int64_t>& rows, const std::vector<int64_t>& columns) {
  auto same = [](const std::vector<int64_t>& n) { return std::all_of(n.begin(), n.end(), [&](int64_t v) { return v == n[0]; }); };
  if (sums.numel() == 0) return sums;
  if (same(rows) && same(columns)) return rows[0] * columns[0] == 1 ? sums : sums / static_cast<double>(rows[0] * columns[0]);
  std::vector<double> n;
  for (int64_t r : rows)
    for (int64_t c : columns) n.push_back(static_cast<double>(r * c));
  Tensor count = from_vector(n, {static_cast<int64_t>(rows.size()), static_cast<int64_t>(columns.size())});
  return sums / to(to(count, sums.dtype()), sums.device());
}

// 16-bit windows are summed and divided in f32, and rounded once.
Tensor mean_of_windows(const char* op, const Tensor& image, const AxisMap& rows, const AxisMap& columns,
                       const std::vector<int64_t>& row_counts, const std::vector<int64_t>& column_counts) {
  Tensor sums = detail::resample(op, to(image, compute_dtype(image.dtype())), rows, columns);
  return to(divided(sums, row_counts, column_counts), image.dtype());
}

Tensor avg_pool(PoolCall c, bool count_include_pad) {
  Tensor image = detail::with_height(c.op, c.x, c.dims);
  c.complete();
  c.check_fit(image);
  const Windows r = c.rows(image), k = c.columns(image);
  AxisMap rows = r.map(c.x.device()), columns = k.map(c.x.device());
  Tensor y = mean_of_windows(c.op, image, rows, columns, count_include_pad ? r.padded_counts() : detail::counts(rows),
                             count_include_pad ? k.padded_counts() : detail::counts(columns));
  return detail::without_height(y, c.dims);
}

// -- adaptive -----------------------------------------------------------------------------------------------

AxisMap even_parts(int64_t size, int64_t parts, Device device) {
  AxisMapBuilder builder(size);
  for (int64_t i = 0; i < parts; ++i) {
    for (int64_t at = i * size / parts; at < ((i + 1) * size + parts - 1) / parts; ++at) builder.read(at);
    builder.finish_output();
  }
  return builder.build(device);
}

struct Parts {
  Tensor image;
  AxisMap rows, columns;
};
Parts parts_of(const char* op, const Tensor& x, Size2 size, int dims) {
  Tensor image = detail::with_height(op, x, dims);
  if (size.height < 1 || size.width < 1)
    throw ValueError(std::string(op) + ": the size must be at least 1, it is " + (dims == 1 ? "" : std::to_string(size.height) + "×") +
                     std::to_string(size.width));
  if (image.size(-1) == 0 || image.size(-2) == 0)
    throw ShapeError(std::string(op) + ": there is nothing to divide: input " + to_string(x.shape()));
  return {image, even_parts(image.size(-2), size.height, x.device()), even_parts(image.size(-1), size.width, x.device())};
}

Tensor adaptive_avg(const char* op, const Tensor& x, Size2 size, int dims) {
  Parts p = parts_of(op, x, size, dims);
  return detail::without_height(mean_of_windows(op, p.image, p.rows, p.columns, detail::counts(p.rows), detail::counts(p.columns)), dims);
}

ValuesAndIndices adaptive_max(const char* op, const Tensor& x, Size2 size, int dims) {
  Parts p = parts_of(op, x, size, dims);
  ValuesAndIndices y = window_max(op, p.image, p.rows, p.columns);
  return {detail::without_height(y.values, dims), detail::without_height(y.indices, dims)};
}

std::vector<int> after_second(const char* op, const Tensor& x) {
  if (x.rank() < 3) throw ShapeError(std::string(op) + ": takes [batch, channels, ..], got " + to_string(x.shape()));
  std::vector<int> dims;
  for (int d = 2; d < x.rank(); ++d) dims.push_back(d);
  return dims;
}

}  // namespace

ValuesAndIndices max_pool2d_with_indices(const Tensor& x, Size2 window, const MaxPool2dOptions& o) {
  return max_pool({"max_pool2d", 2, x, window, o.stride, o.padding, o.dilation, o.ceil_mode});
}
ValuesAndIndices max_pool1d_with_indices(const Tensor& x, int64_t window, const MaxPool1dOptions& o) {
  return max_pool({"max_pool1d", 1, x, {1, window}, {1, o.stride}, {0, o.padding}, {1, o.dilation}, o.ceil_mode});
}
Tensor max_pool2d(const Tensor& x, Size2 window, const MaxPool2dOptions& options) {
  return max_pool2d_with_indices(x, window, options).values;
}
Tensor max_pool1d(const Tensor& x, int64_t window, const MaxPool1dOptions& options) {
  return max_pool1d_with_indices(x, window, options).values;
}

Tensor avg_pool2d(const Tensor& x, Size2 window, const AvgPool2dOptions& o) {
  return avg_pool({"avg_pool2d", 2, x, window, o.stride, o.padding, 1, o.ceil_mode}, o.count_include_pad);
}
Tensor avg_pool1d(const Tensor& x, int64_t window, const AvgPool1dOptions& o) {
  return avg_pool({"avg_pool1d", 1, x, {1, window}, {1, o.stride}, {0, o.padding}, 1, o.ceil_mode}, o.count_include_pad);
}

Tensor adaptive_avg_pool2d(const Tensor& x, Size2 size) { return adaptive_avg("adaptive_avg_pool2d", x, size, 2); }
Tensor adaptive_avg_pool1d(const Tensor& x, int64_t size) { return adaptive_avg("adaptive_avg_pool1d", x, {1, size}, 1); }
ValuesAndIndices adaptive_max_pool2d_with_indices(const Tensor& x, Size2 size) { return adaptive_max("adaptive_max_pool2d", x, size, 2); }
ValuesAndIndices adaptive_max_pool1d_with_indices(const Tensor& x, int64_t size) {
  return adaptive_max("adaptive_max_pool1d", x, {1, size}, 1);
}
Tensor adaptive_max_pool2d(const Tensor& x, Size2 size) { return adaptive_max_pool2d_with_indices(x, size).values; }
Tensor adaptive_max_pool1d(const Tensor& x, int64_t size) { return adaptive_max_pool1d_with_indices(x, size).values; }

Tensor global_avg_pool(const Tensor& x) { return mean(x, after_second("global_avg_pool", x)); }
Tensor global_max_pool(const Tensor& x) { return amax(x, after_second("global_max_pool", x)); }

}  // namespace plumb

// Resampling is linear: y = R x Cᵀ in every plane, so dx = Rᵀ dy C, the same operation with the maps transposed.
#include "ops/resample.h"

#include "engine/autograd/record.h"
#include "engine/core/capture.h"
#include "engine/core/channels_last.h"
#include "ops/shape.h"

namespace plumb::detail {

static AxisMap axis_map(const AxisEntries& e, int64_t inputs, Device device) {
  return {to(from_vector(e.offset), device),         to(from_vector(e.index), device),      to(from_vector(e.weight), device), inputs,
          static_cast<int64_t>(e.offset.size()) - 1, std::make_shared<const AxisEntries>(e)};
}

AxisMap AxisMapBuilder::build(Device device) const {
  // In a step that is captured a map is made at every replay: a recording would outlast what is kept here, and give up what it made.
  if (device.type == DeviceType::cpu || is_recording()) return axis_map(entries_, inputs_, device);
  constexpr size_t kKnown = 512;
  static thread_local auto* known = new std::vector<AxisMap>;  // never destroyed: the device may be gone by then
  for (const AxisMap& m : *known)
    if (m.inputs == inputs_ && m.offset.device() == device && *m.entries == entries_) return m;
  if (known->size() == kKnown) known->clear();
  known->push_back(axis_map(entries_, inputs_, device));
  return known->back();
}

AxisMap transposed_map(const AxisMap& m) {
  const AxisEntries& e = *m.entries;
  std::vector<std::vector<std::pair<int64_t, double>>> readers(static_cast<size_t>(m.inputs));
  for (int64_t i = 0; i < m.outputs; ++i)
    for (auto k = static_cast<size_t>(e.offset[static_cast<size_t>(i)]); k < static_cast<size_t>(e.offset[static_cast<size_t>(i) + 1]); ++k)
      readers[static_cast<size_t>(e.index[k])].emplace_back(i, e.weight[k]);
  AxisMapBuilder builder(m.outputs);
  for (const auto& list : readers) {
    for (auto [i, w] : list) builder.read(i, w);
    builder.finish_output();
  }
  return builder.build(m.offset.device());
}

std::vector<int64_t> counts(const AxisMap& m) {
  std::vector<int64_t> n;
  for (size_t i = 0; i + 1 < m.entries->offset.size(); ++i) n.push_back(m.entries->offset[i + 1] - m.entries->offset[i]);
  return n;
}

bool side_by_side(const Tensor& x) { return x.rank() == 4 && channels_last(x); }

Tensor as_planes(const Tensor& x, bool side_by_side) {
  const Tensor data = dense_data(x, side_by_side);
  const Shape& s = x.shape();
  const Shape planes = side_by_side ? Shape{s[0], s[2], s[3], s[1]} : Shape{numel(s.slice(0, s.rank() - 2)), s[s.rank() - 2], s.back()};
  return view_of(data, planes, contiguous_strides(planes), 0);
}

Tensor resample(const char* op, const Tensor& x, const AxisMap& rows, const AxisMap& columns) {
  Shape shape = x.shape();
  shape[x.rank() - 2] = rows.outputs;
  shape[x.rank() - 1] = columns.outputs;
  const bool last = side_by_side(x);
  Tensor y = empty_in_order(shape, x.dtype(), x.device(), op, last), out = as_planes(y, last);
  kernel::resample(x.device(), as_planes(x, last), rows, columns, out);
  return record(op, y, {x}, saving(), [op, rows, columns](const Grads& dy, const Saved&, Needs) -> Grads {
    return resample(op, dy[0], transposed_map(rows), transposed_map(columns));
  });
}

Tensor with_height(const char* op, const Tensor& x, int dims) {
  if (!is_floating(x.dtype())) throw DTypeError(std::string(op) + ": takes a floating tensor, got " + std::string(name(x.dtype())));
  if (x.rank() != dims + 1 && x.rank() != dims + 2)
    throw ShapeError(
        std::string(op) + ": takes " +
        (dims == 1 ? "[batch, channels, length] or [channels, length]" : "[batch, channels, height, width] or [channels, height, width]") +
        ", got " + to_string(x.shape()));
  return dims == 1 ? unsqueeze(x, -2) : x;
}
Tensor without_height(const Tensor& y, int dims) { return dims == 1 ? squeeze(y, -2) : y; }

}  // namespace plumb::detail

// Resampling is linear: y = R x Cᵀ in every plane, so dx = Rᵀ dy C, the same operation with the maps transposed.
#include "ops/resample.h"

#include "engine/autograd/record.h"
#include "ops/shape.h"

namespace plumb::detail {

static AxisMap axis_map(const AxisEntries& e, int64_t inputs, Device device) {
  return {to(from_vector(e.offset), device), to(from_vector(e.index), device), to(from_vector(e.weight), device), inputs, static_cast<int64_t>(e.offset.size()) - 1,
          std::make_shared<const AxisEntries>(e)};
}

AxisMap AxisMapBuilder::build(Device device) const {
  if (device.type == DeviceType::cpu) return axis_map(entries_, inputs_, device);
  constexpr size_t kKnown = 512;
  static thread_local auto* known = new std::vector<AxisMap>;  // never destroyed: the device may be gone by then
  for (const AxisMap& m : *known)
    if (m.inputs == inputs_ && m.offset.device() == device && *m.entries == entries_) return m;
  if (known->size() == kKnown) known->clear();
  known->push_back(axis_map(entries_, inputs_, device));
  return known->back();
}

AxisMap transposed(const AxisMap& m) {
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

Tensor resample(const char* op, const Tensor& x, const AxisMap& rows, const AxisMap& columns) {
  Shape shape = x.shape();
  const int rank = x.rank();
  const int64_t planes = numel(shape.slice(0, rank - 2));
  shape[rank - 2] = rows.outputs;
  shape[rank - 1] = columns.outputs;
  Tensor y = empty(shape, x.dtype(), x.device(), op), from = contiguous_data(x);
  Tensor out = view_of(y, {planes, rows.outputs, columns.outputs}, {rows.outputs * columns.outputs, columns.outputs, 1}, 0);
  kernel::resample(x.device(), view_of(from, {planes, rows.inputs, columns.inputs}, {rows.inputs * columns.inputs, columns.inputs, 1}, 0), rows, columns, out);
  return record(op, y, {x}, saving(), [op, rows, columns](const Grads& dy, const Saved&, Needs) -> Grads { return resample(op, dy[0], transposed(rows), transposed(columns)); });
}

Tensor with_height(const char* op, const Tensor& x, int dims) {
  if (!is_floating(x.dtype())) throw DTypeError(std::string(op) + ": takes a floating tensor, got " + std::string(name(x.dtype())));
  if (x.rank() != dims + 1 && x.rank() != dims + 2)
    throw ShapeError(std::string(op) + ": takes " + (dims == 1 ? "[batch, channels, length] or [channels, length]" : "[batch, channels, height, width] or [channels, height, width]") +
                     ", got " + to_string(x.shape()));
  return dims == 1 ? unsqueeze(x, -2) : x;
}
Tensor without_height(const Tensor& y, int dims) { return dims == 1 ? squeeze(y, -2) : y; }

}  // namespace plumb::detail

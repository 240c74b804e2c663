// Examples into a batch: plain copies of rows, padded where asked for.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "engine/data/source.h"

namespace plumb::data {

Tensor copy_of(const Tensor& x) {
  Tensor from = contiguous_data(x);
  Tensor copy = empty(x.shape(), x.dtype(), x.device(), "data");
  if (x.device().type == DeviceType::cpu)
    std::memcpy(copy.raw_data(), from.raw_data(), static_cast<size_t>(x.numel()) * item_size(x.dtype()));
  else
    copy_data(from, copy);
  return copy;
}

namespace {

std::byte* bytes_of(const Tensor& x) { return static_cast<std::byte*>(x.raw_data()); }

/// The field of every example, row-major on the CPU, all of one type and rank.
std::vector<Tensor> column(std::span<const Sample> samples, const std::string& name) {
  std::vector<Tensor> values;
  values.reserve(samples.size());
  for (const Sample& s : samples) {
    if (!s.has(name))
      throw ValueError(fmt::format("batch: example {} has no field \"{}\", example {} has", s.index, name, samples[0].index));
    const Tensor &x = s[name], &first = samples[0][name];
    if (x.device().type != DeviceType::cpu)
      throw DeviceError(
          fmt::format("batch: \"{}\" of example {} is on {}; examples are kept on the CPU", name, s.index, to_string(x.device())));
    if (x.dtype() != first.dtype())
      throw DTypeError(fmt::format("batch: \"{}\" is {} in example {} and {} in example {}", name, plumb::name(first.dtype()),
                                   samples[0].index, plumb::name(x.dtype()), s.index));
    values.push_back(contiguous_data(x));
  }
  return values;
}

[[noreturn]] void differing_shapes(std::span<const Sample> samples, const std::string& name, size_t i, const char* way_out) {
  throw ShapeError(fmt::format("batch: \"{}\" is {} in example {} and {} in example {}{}", name, to_string(samples[0][name].shape()),
                               samples[0].index, to_string(samples[i][name].shape()), samples[i].index, way_out));
}

Shape with_rows(int64_t rows, const Shape& shape) {
  if (shape.rank() == kMaxRank) throw ShapeError(fmt::format("batch: {} has no room for a batch dimension", to_string(shape)));
  Shape s = shape;
  s.insert(0, rows);
  return s;
}

Tensor stack_equal(std::span<const Sample> samples, const std::string& name, const std::vector<Tensor>& values) {
  for (size_t i = 1; i < values.size(); ++i)
    if (values[i].shape() != values[0].shape()) differing_shapes(samples, name, i, "; name it in .pad or make them alike");
  Tensor out = empty(with_rows(static_cast<int64_t>(values.size()), values[0].shape()), values[0].dtype(), cpu, "batch");
  size_t row = static_cast<size_t>(values[0].numel()) * item_size(values[0].dtype());
  for (size_t i = 0; i < values.size(); ++i) std::memcpy(bytes_of(out) + i * row, bytes_of(values[i]), row);
  return out;
}

void fill_with(Tensor& x, Scalar value) {
  visit_dtype(x.dtype(), [&]<typename T>() {
    T v;
    if constexpr (std::is_same_v<T, bool>)
      v = value.value() != 0;
    else if constexpr (std::is_integral_v<T>)
      v = static_cast<T>(value.integer());
    else
      v = static_cast<T>(static_cast<compute_t<T>>(value.value()));
    std::fill_n(x.data<T>(), x.numel(), v);
  });
}

/// Copies a row-major block of shape `from` into the corner of one of shape `into`.
void copy_corner(const std::byte* src, const Shape& from, std::byte* dst, const Shape& into, size_t item, int dim = 0) {
  if (dim == from.rank()) {
    std::memcpy(dst, src, item);
    return;
  }
  if (dim == from.rank() - 1) {
    std::memcpy(dst, src, static_cast<size_t>(from[dim]) * item);
    return;
  }
  size_t src_step = static_cast<size_t>(numel(from.slice(dim + 1, from.rank()))) * item;
  size_t dst_step = static_cast<size_t>(numel(into.slice(dim + 1, into.rank()))) * item;
  for (int64_t i = 0; i < from[dim]; ++i)
    copy_corner(src + static_cast<size_t>(i) * src_step, from, dst + static_cast<size_t>(i) * dst_step, into, item, dim + 1);
}

Tensor stack_padded(std::span<const Sample> samples, const std::string& name, const std::vector<Tensor>& values, Scalar fill) {
  Shape largest = values[0].shape();
  for (size_t i = 1; i < values.size(); ++i) {
    if (values[i].rank() != largest.rank()) differing_shapes(samples, name, i, ": padding does not change the rank");
    for (int d = 0; d < largest.rank(); ++d) largest[d] = std::max(largest[d], values[i].shape()[d]);
  }
  Tensor out = empty(with_rows(static_cast<int64_t>(values.size()), largest), values[0].dtype(), cpu, "batch");
  fill_with(out, fill);
  size_t item = item_size(out.dtype()), row = static_cast<size_t>(numel(largest)) * item;
  for (size_t i = 0; i < values.size(); ++i) copy_corner(bytes_of(values[i]), values[i].shape(), bytes_of(out) + i * row, largest, item);
  return out;
}

Tensor lengths(const std::vector<Tensor>& values) {
  std::vector<int64_t> n;
  for (const Tensor& v : values) n.push_back(v.rank() == 0 ? 1 : v.shape()[0]);
  return from_vector(n);
}

}  // namespace

Batch stack(std::span<const Sample> samples, const Padding& padding) {
  if (samples.empty()) throw ValueError("batch: there are no examples to stack");
  Batch batch;
  std::vector<int64_t> index;
  for (const Sample& s : samples) {
    index.push_back(s.index);
    for (const std::string& name : s.names())
      if (!samples[0].has(name))
        throw ValueError(fmt::format("batch: example {} has no field \"{}\", example {} has", samples[0].index, name, s.index));
  }
  for (const std::string& name : samples[0].names()) {
    std::vector<Tensor> values = column(samples, name);
    auto pad = std::find_if(padding.begin(), padding.end(), [&](const auto& p) { return p.first == name; });
    if (pad == padding.end()) {
      batch.set(name, stack_equal(samples, name, values));
    } else {
      batch.set(name, stack_padded(samples, name, values, pad->second));
      batch.set(name + "_length", lengths(values));
    }
  }
  for (const auto& pad : padding)
    if (!samples[0].has(pad.first)) samples[0][pad.first];  // throws, naming the fields that there are
  batch.index = from_vector(index);
  return batch;
}

Batch Source::gather(std::span<const Pick> picks, const Padding& padding) const {
  std::vector<Sample> samples;
  samples.reserve(picks.size());
  for (const Pick& pick : picks) samples.push_back(get(pick));
  return stack(samples, padding);
}

int64_t Source::label(int64_t at) const { return get({at, {}})["label"].item<int64_t>(); }

}  // namespace plumb::data

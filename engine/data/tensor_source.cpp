// Rows of tensors: a batch is one copy a row.
#include "engine/data/internal/tensor_source.h"

#include <fmt/format.h>

#include <cstring>

namespace plumb::data {

namespace {

class TensorSource final : public Source {
 public:
  TensorSource(std::vector<Column> columns, std::vector<SourceHash> hashes)
      : columns_(std::move(columns)), hashes_(std::move(hashes)), size_(columns_[0].values.shape()[0]) {}

  int64_t size() const override { return size_; }

  Sample get(const Pick& pick) const override {
    Sample sample;
    sample.index = pick.at;
    for (const Column& c : columns_) {
      Tensor row = empty(row_shape(c), given_type(c), cpu, "data");
      copy_row(c, pick.at, static_cast<std::byte*>(row.raw_data()));
      sample.set(c.name, std::move(row));
    }
    return sample;
  }

  Batch gather(std::span<const Pick> picks, const Padding& padding) const override {
    if (!padding.empty()) return Source::gather(picks, padding);  // rows are all alike; this only adds the lengths
    Batch batch;
    for (const Column& c : columns_) {
      Shape shape = row_shape(c);
      shape.insert(0, static_cast<int64_t>(picks.size()));
      Tensor rows = empty(shape, given_type(c), cpu, "data");
      auto* out = static_cast<std::byte*>(rows.raw_data());
      size_t step = row_elements(c) * item_size(given_type(c));
      for (const Pick& pick : picks) {
        copy_row(c, pick.at, out);
        out += step;
      }
      batch.set(c.name, std::move(rows));
    }
    batch.index = empty({static_cast<int64_t>(picks.size())}, i64, cpu, "data");
    int64_t* index = batch.index.data<int64_t>();
    for (const Pick& pick : picks) *index++ = pick.at;
    return batch;
  }

  int64_t label(int64_t at) const override {
    for (const Column& c : columns_)
      if (c.name == "label" && c.divisor == 0 && c.values.rank() == 1)
        return visit_dtype(c.values.dtype(), [&]<typename T>() {
          return static_cast<int64_t>(static_cast<compute_t<T>>(static_cast<const T*>(c.values.raw_data())[at]));
        });
    return Source::label(at);
  }

  uint64_t fingerprint() const override {
    uint64_t f = static_cast<uint64_t>(size_);
    for (const Column& c : columns_) {
      for (char letter : c.name) f = mix(f, static_cast<unsigned char>(letter));
      for (int64_t v : c.values.shape()) f = mix(f, static_cast<uint64_t>(v));
    }
    for (const SourceHash& h : hashes_)
      for (char digit : h.sha256) f = mix(f, static_cast<unsigned char>(digit));
    return f;
  }
  std::vector<SourceHash> source_hashes() const override { return hashes_; }

 private:
  static Shape row_shape(const Column& c) { return c.values.shape().slice(1, c.values.rank()); }
  static size_t row_elements(const Column& c) { return static_cast<size_t>(numel(row_shape(c))); }
  static DType given_type(const Column& c) { return c.divisor == 0 ? c.values.dtype() : f32; }

  static void copy_row(const Column& c, int64_t at, std::byte* out) {
    size_t n = row_elements(c);
    if (c.divisor == 0) {
      size_t bytes = n * item_size(c.values.dtype());
      std::memcpy(out, static_cast<const std::byte*>(c.values.raw_data()) + static_cast<size_t>(at) * bytes, bytes);
      return;
    }
    const uint8_t* row = static_cast<const uint8_t*>(c.values.raw_data()) + static_cast<size_t>(at) * n;
    float* fractions = reinterpret_cast<float*>(out);
    for (size_t i = 0; i < n; ++i) fractions[i] = static_cast<float>(row[i]) / c.divisor;
  }

  std::vector<Column> columns_;
  std::vector<SourceHash> hashes_;
  int64_t size_;
};

}  // namespace

SourcePtr tensor_source(std::vector<Column> columns, std::vector<SourceHash> hashes) {
  if (columns.empty()) throw ValueError("from_tensors: no tensors were given");
  for (Column& c : columns) {
    if (c.values.device().type != DeviceType::cpu)
      throw DeviceError(fmt::format("from_tensors: {} is on {}; data sets are kept on the CPU", c.name, to_string(c.values.device())));
    if (c.values.rank() == 0) throw ShapeError(fmt::format("from_tensors: {} has rank 0, and so no rows", c.name));
    if (c.values.shape()[0] != columns[0].values.shape()[0])
      throw ShapeError(fmt::format("from_tensors: {} has {} rows, {} has {}", columns[0].name, columns[0].values.shape()[0], c.name,
                                   c.values.shape()[0]));
    if (c.divisor != 0 && c.values.dtype() != u8)
      throw DTypeError(fmt::format("from_tensors: {} is {}; only u8 can be given as fractions", c.name, name(c.values.dtype())));
    c.values = contiguous_data(alias(c.values));
  }
  return std::make_shared<TensorSource>(std::move(columns), std::move(hashes));
}

}  // namespace plumb::data

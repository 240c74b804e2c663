// Tables of rows by index. Rows are written one by one, so that nothing the size of the table moves in a step.
#include "methods/common/per_sample.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/autograd/grad_mode.h"
#include "engine/core/error.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods {
namespace {

Tensor made_table(const char* name, int64_t rows, int64_t width, DType dtype) {
  if (rows < 1 || width < 1) throw ValueError(fmt::format("{}: {} rows of {} numbers", name, rows, width));
  return zeros({rows, width}, dtype);
}

std::vector<int64_t> checked_index(const char* name, const Tensor& index, int64_t rows) {
  if (index.rank() != 1) throw ShapeError(fmt::format("{}: the index must be [B], got {}", name, to_string(index.shape())));
  if (!is_integer(index.dtype()))
    throw DTypeError(fmt::format("{}: the index must hold integers, got {}", name, plumb::name(index.dtype())));
  auto at = to_vector<int64_t>(index);
  for (int64_t i : at)
    if (i < 0 || i >= rows) throw IndexError(fmt::format("{}: index {} is outside [0, {})", name, i, rows));
  return at;
}

void check_values(const char* name, const Tensor& values, int64_t rows, int64_t width) {
  if (values.shape() != Shape{rows, width})
    throw ShapeError(fmt::format("{}: values must be {}, got {}", name, to_string(Shape{rows, width}), to_string(values.shape())));
}

Tensor row_of(const Tensor& table, int64_t i) { return view_of(table, {table.size(1)}, {1}, i * table.size(1)); }

void put_rows(const Tensor& values, const std::vector<int64_t>& at, const Tensor& table) {
  for (size_t b = 0; b < at.size(); ++b) {
    Tensor row = row_of(table, at[b]);
    copy_data(select(values, 0, static_cast<int64_t>(b)), row);
  }
}

}  // namespace

PerSampleEma::PerSampleEma(int64_t samples, int64_t width, double beta, DType dtype)
    : table_(made_table("per_sample_ema", samples, width, dtype)), beta_(beta) {
  if (!(beta >= 0 && beta <= 1)) throw ValueError(fmt::format("per_sample_ema: beta must lie in [0, 1], it is {}", beta));
}

Tensor PerSampleEma::update(const Tensor& index, const Tensor& values) {
  NoGrad no_grad;
  auto at = checked_index("per_sample_ema", index, table_.size(0));
  check_values("per_sample_ema", values, static_cast<int64_t>(at.size()), table_.size(1));
  auto sorted = at;
  std::ranges::sort(sorted);
  if (auto twice = std::ranges::adjacent_find(sorted); twice != sorted.end())
    throw ValueError(fmt::format("per_sample_ema: index {} occurs twice in one batch", *twice));
  Tensor updated = beta_ * rows(index) + (1 - beta_) * to(values.detach(), table_.dtype());
  put_rows(updated, at, table_);
  return updated;
}

Tensor PerSampleEma::rows(const Tensor& index) const {
  NoGrad no_grad;
  checked_index("per_sample_ema", index, table_.size(0));
  return index_select(table_, 0, index);
}

void PerSampleEma::set_table(const Tensor& table) {
  check_values("per_sample_ema", table, table_.size(0), table_.size(1));
  copy_data(table, table_);
}

PerSampleStore::PerSampleStore(int64_t samples, int64_t width, DType dtype)
    : table_(made_table("per_sample_store", samples, width, dtype)), filled_(static_cast<size_t>(samples)) {}

void PerSampleStore::put(const Tensor& index, const Tensor& values) {
  NoGrad no_grad;
  auto at = checked_index("per_sample_store", index, table_.size(0));
  check_values("per_sample_store", values, static_cast<int64_t>(at.size()), table_.size(1));
  put_rows(values.detach(), at, table_);
  for (int64_t i : at) filled_[static_cast<size_t>(i)] = true;
}

Tensor PerSampleStore::rows(const Tensor& index) const {
  NoGrad no_grad;
  for (int64_t i : checked_index("per_sample_store", index, table_.size(0)))
    if (!filled_[static_cast<size_t>(i)]) throw IndexError(fmt::format("per_sample_store: example {} has no value yet", i));
  return index_select(table_, 0, index);
}

int64_t PerSampleStore::filled() const { return std::ranges::count(filled_, true); }

FeatureQueue::FeatureQueue(int64_t capacity, int64_t width, DType dtype) : table_(made_table("feature_queue", capacity, width, dtype)) {}

void FeatureQueue::push(const Tensor& rows) {
  NoGrad no_grad;
  if (rows.rank() != 2 || rows.size(1) != table_.size(1) || rows.size(0) > capacity())
    throw ShapeError(
        fmt::format("feature_queue: takes rows [at most {}, {}], got {}", capacity(), table_.size(1), to_string(rows.shape())));
  std::vector<int64_t> at(static_cast<size_t>(rows.size(0)));
  for (size_t b = 0; b < at.size(); ++b) at[b] = (start_ + size_ + static_cast<int64_t>(b)) % capacity();
  put_rows(rows.detach(), at, table_);
  int64_t surplus = std::max<int64_t>(0, size_ + rows.size(0) - capacity());
  start_ = (start_ + surplus) % capacity();
  size_ += rows.size(0) - surplus;
}

Tensor FeatureQueue::read() const {
  NoGrad no_grad;
  int64_t first = std::min(size_, capacity() - start_);
  return cat({narrow(table_, 0, start_, first), narrow(table_, 0, 0, size_ - first)}, 0);
}

Tensor queue_mean(const FeatureQueue& queue) {
  NoGrad no_grad;
  return sum(queue.read(), {0}) * (1.0 / static_cast<double>(queue.capacity()));
}

}  // namespace plumb::methods

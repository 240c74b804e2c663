// Random sketches: few rows that keep lengths within a subspace.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

#include "methods/common/least_squares.h"

namespace plumb::methods {
namespace {

// a as rows: its height d, its width c (1 for a vector), f64 values.
struct Block {
  int64_t rows, columns;
  std::vector<double> v;
};

Block block_of(const char* op, const Tensor& a, int64_t rows) {
  if (a.rank() < 1 || a.rank() > 2 || a.size(0) != rows)
    throw ShapeError(std::string(op) + ": takes [" + std::to_string(rows) + "] or [" + std::to_string(rows) + ", c], got " +
                     to_string(a.shape()));
  return {rows, a.rank() == 2 ? a.size(1) : 1, to_vector(a)};
}

Tensor result_of(const Tensor& a, std::vector<double> values, int64_t rows) {
  return from_vector(values, a.rank() == 2 ? Shape{rows, a.size(1)} : Shape{rows});
}

Tensor identity(int64_t n) {
  Tensor x = zeros({n, n}, f64);
  for (int64_t i = 0; i < n; ++i) x.data<double>()[i * n + i] = 1;
  return x;
}

}  // namespace

CountSketch::CountSketch(int64_t rows, int64_t of, Generator& generator) : rows_(rows) {
  if (rows < 1 || of < 1)
    throw ValueError("CountSketch: takes at least 1 row to at least 1, got " + std::to_string(of) + " and " + std::to_string(rows));
  for (int64_t i = 0; i < of; ++i) {
    row_.push_back(static_cast<int64_t>(generator.next_below(static_cast<uint64_t>(rows))));
    sign_.push_back(generator.next_u32() & 1 ? 1 : -1);
  }
}

Tensor CountSketch::operator()(const Tensor& a) const {
  Block x = block_of("CountSketch", a, static_cast<int64_t>(row_.size()));
  std::vector<double> y(static_cast<size_t>(rows_ * x.columns));
  for (int64_t i = 0; i < x.rows; ++i)
    for (int64_t c = 0; c < x.columns; ++c)
      y[static_cast<size_t>(row_[static_cast<size_t>(i)] * x.columns + c)] +=
          sign_[static_cast<size_t>(i)] * x.v[static_cast<size_t>(i * x.columns + c)];
  return result_of(a, std::move(y), rows_);
}

Tensor CountSketch::matrix() const { return (*this)(identity(static_cast<int64_t>(row_.size()))); }

void fast_walsh_hadamard(double* x, int64_t n) {
  for (int64_t half = 1; half < n; half *= 2)
    for (int64_t from = 0; from < n; from += 2 * half)
      for (int64_t i = from; i < from + half; ++i) {
        double a = x[i], b = x[i + half];
        x[i] = a + b;
        x[i + half] = a - b;
      }
  double scale = 1 / std::sqrt(static_cast<double>(n));
  for (int64_t i = 0; i < n; ++i) x[i] *= scale;
}

HadamardSketch::HadamardSketch(int64_t rows, int64_t of, Generator& generator) : of_(of), padded_(1) {
  while (padded_ < of) padded_ *= 2;
  if (of < 1 || rows < 1 || rows > padded_)
    throw ValueError("HadamardSketch: rows must lie in [1, " + std::to_string(padded_) + "] for a height of " + std::to_string(of) +
                     ", they are " + std::to_string(rows));
  std::vector<int64_t> all(static_cast<size_t>(padded_));
  std::iota(all.begin(), all.end(), 0);
  for (size_t i = 0; i < static_cast<size_t>(rows); ++i) {
    std::swap(all[i], all[i + generator.next_below(all.size() - i)]);
    kept_.push_back(all[i]);
  }
  for (int64_t i = 0; i < of; ++i) sign_.push_back(generator.next_u32() & 1 ? 1 : -1);
}

Tensor HadamardSketch::operator()(const Tensor& a) const {
  Block x = block_of("HadamardSketch", a, of_);
  std::vector<double> y(kept_.size() * static_cast<size_t>(x.columns)), column(static_cast<size_t>(padded_));
  double scale = std::sqrt(static_cast<double>(padded_) / static_cast<double>(kept_.size()));
  for (int64_t c = 0; c < x.columns; ++c) {
    std::fill(column.begin(), column.end(), 0.0);
    for (int64_t i = 0; i < of_; ++i)
      column[static_cast<size_t>(i)] = sign_[static_cast<size_t>(i)] * x.v[static_cast<size_t>(i * x.columns + c)];
    fast_walsh_hadamard(column.data(), padded_);
    for (size_t i = 0; i < kept_.size(); ++i)
      y[i * static_cast<size_t>(x.columns) + static_cast<size_t>(c)] = scale * column[static_cast<size_t>(kept_[i])];
  }
  return result_of(a, std::move(y), static_cast<int64_t>(kept_.size()));
}

Tensor HadamardSketch::matrix() const { return (*this)(identity(of_)); }

}  // namespace plumb::methods

// Rows of numbers on the CPU: sums and maxima in an order fixed by the length, and rows of 16-bit types seen as rows of float.
#pragma once
#include <algorithm>
#include <limits>
#include <utility>
#include <vector>

#include "engine/core/parallel.h"
#include "ops/cpu/strided_loop.h"

namespace plumb::cpu_kernels {

/// Independent partial results of a sum, for the vectoriser: element i goes to lane i mod 16.
inline constexpr int64_t kLanes = 16;
/// Elements summed in T before the sum moves on in double: keeps the rounding error of long rows that of short ones.
inline constexpr int64_t kLaneBlock = 8192;

/// Σ element(i), begin ≤ i < end.
template <typename T, typename Element>
T lane_sum_block(int64_t begin, int64_t end, Element&& element) {
  T lanes[kLanes] = {};
  int64_t i = begin;
  for (; i + kLanes <= end; i += kLanes)
    for (int64_t j = 0; j < kLanes; ++j) lanes[j] += element(i + j);
  for (int64_t j = 0; i < end; ++i, ++j) lanes[j] += element(i);
  for (int64_t width = kLanes / 2; width > 0; width /= 2)
    for (int64_t j = 0; j < width; ++j) lanes[j] += lanes[j + width];
  return lanes[0];
}

/// Two sums in one sweep: element(i, a, b) adds to both.
template <typename T, typename Element>
std::pair<T, T> lane_sums(int64_t n, Element&& element) {
  double total_a = 0, total_b = 0;
  for (int64_t i = 0; i < n;) {
    T a[kLanes] = {}, b[kLanes] = {};
    int64_t end = std::min(n, i + kLaneBlock);
    for (; i + kLanes <= end; i += kLanes)
      for (int64_t j = 0; j < kLanes; ++j) element(i + j, a[j], b[j]);
    for (int64_t j = 0; i < end; ++i, ++j) element(i, a[j], b[j]);
    for (int64_t width = kLanes / 2; width > 0; width /= 2)
      for (int64_t j = 0; j < width; ++j) a[j] += a[j + width], b[j] += b[j + width];
    total_a += static_cast<double>(a[0]);
    total_b += static_cast<double>(b[0]);
  }
  return {static_cast<T>(total_a), static_cast<T>(total_b)};
}

/// Σ element(i), 0 ≤ i < n, for any n.
template <typename T, typename Element>
T lane_sum(int64_t n, Element&& element) {
  if (n <= kLaneBlock) return lane_sum_block<T>(0, n, element);
  double total = 0;
  for (int64_t i = 0; i < n; i += kLaneBlock) total += static_cast<double>(lane_sum_block<T>(i, std::min(n, i + kLaneBlock), element));
  return static_cast<T>(total);
}

/// The largest of n elements, NaN left out; −∞ for none.
template <typename T>
T lane_max(const T* x, int64_t n) {
  T lanes[kLanes];
  for (T& lane : lanes) lane = -std::numeric_limits<T>::infinity();
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    for (int64_t j = 0; j < kLanes; ++j) lanes[j] = x[i + j] > lanes[j] ? x[i + j] : lanes[j];
  for (int64_t j = 0; i < n; ++i, ++j) lanes[j] = x[i] > lanes[j] ? x[i] : lanes[j];
  for (int64_t width = kLanes / 2; width > 0; width /= 2)
    for (int64_t j = 0; j < width; ++j) lanes[j] = lanes[j] > lanes[j + width] ? lanes[j] : lanes[j + width];
  return lanes[0];
}

/// Reads rows stored as S in the type that arithmetic is done in: the row itself, or its copy in a buffer.
template <typename S>
class RowReader {
 public:
  using C = compute_t<S>;
  explicit RowReader(int64_t n) : n_(n) {
    if constexpr (!std::is_same_v<S, C>) buffer_.resize(static_cast<size_t>(n));
  }
  const C* operator()(const S* row) {
    if constexpr (std::is_same_v<S, C>) return row;
    else {
      for (int64_t i = 0; i < n_; ++i) buffer_[static_cast<size_t>(i)] = static_cast<C>(row[i]);
      return buffer_.data();
    }
  }

 private:
  int64_t n_;
  std::vector<C> buffer_;
};

/// The same for writing: fill what begin() gives, then store() it.
template <typename S>
class RowWriter {
 public:
  using C = compute_t<S>;
  explicit RowWriter(int64_t n) : n_(n) {
    if constexpr (!std::is_same_v<S, C>) buffer_.resize(static_cast<size_t>(n));
  }
  C* begin(S* row) {
    if constexpr (std::is_same_v<S, C>) return row;
    else return buffer_.data();
  }
  void store(S* row) const {
    if constexpr (!std::is_same_v<S, C>)
      for (int64_t i = 0; i < n_; ++i) row[i] = static_cast<S>(buffer_[static_cast<size_t>(i)]);
  }

 private:
  int64_t n_;
  std::vector<C> buffer_;
};

/// Rows that one range of a parallel loop should have at least.
inline int64_t row_grain(int64_t columns) { return std::max<int64_t>(1, kPointwiseGrain / 4 / std::max<int64_t>(1, columns)); }

}  // namespace plumb::cpu_kernels

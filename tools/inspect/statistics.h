// What a tensor's elements look like, in a few numbers.
#pragma once
#include <array>
#include <cstdint>
#include <string>

#include "engine/core/tensor.h"

namespace plumb::tools {

/// Of the elements of one tensor. NaN and infinities are counted and otherwise left out; with none left, the numbers are 0.
struct TensorStatistics {
  static constexpr int kBins = 16;
  int64_t zeros = 0, nans = 0, infinities = 0;
  int64_t finite = 0;                       ///< elements that the rest is about
  double mean = 0, std = 0;                 ///< std: divided by `finite`
  double min = 0, max = 0;
  std::array<int64_t, kBins> histogram{};   ///< counts in equal bins from min to max; all in the first if these are equal
};

/// Of a tensor of any type, shape, strides and device; sums are taken in f64.
TensorStatistics statistics_of(const Tensor& x);

/// One bar a bin, from ▁ to █ for the fullest; a blank for an empty bin.
std::string bars(const TensorStatistics& statistics);

}  // namespace plumb::tools

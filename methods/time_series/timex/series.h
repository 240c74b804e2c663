// Generated series with a known truth of what matters.
#pragma once
#include "engine/core/generator.h"
#include "engine/core/tensor.h"

namespace plumb::methods::timex {

struct ExplainedSeries {
  Tensor x;       ///< f32 [N, T, d]
  Tensor times;   ///< f32 [N, T]: 1 … T
  Tensor labels;  ///< i64 [N]
  Tensor truth;   ///< f32 [N, T, d], 1 where the class can be read
};

/// FreqShapes: T = 50, one channel, normal noise of deviation 0.25, and a spike ±(2 − 0.25 j²), j = −1 … 1, at a start ~ U{0 … T − period −
/// 1} and every period after it; 4 classes: down or up × a period of 10 or 17. Throws ValueError for n < 1.
ExplainedSeries make_freq_shapes(int64_t n, Generator& generator);
/// Series in which large values mislead: T = 50, two channels of standard normal noise; in a window of 10 steps one channel has mean ±0.75
/// and deviation 0.1. 4 classes: channel × sign.
ExplainedSeries make_low_variance(int64_t n, Generator& generator);
/// Times 1 … steps for n series.
Tensor regular_times(int64_t n, int64_t steps);

}  // namespace plumb::methods::timex

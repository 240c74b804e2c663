// The scale and offset with which a tensor is quantised best, by a search over ranges that shrink.
#pragma once
#include <vector>

#include "models/quantize/fake_quantize.h"

namespace plumb::quantize {

struct FitOptions {
  bool symmetric = true;     ///< β = 0
  int axis = -1;             ///< −1: one scale; else one for each place of this dimension
  double p = 2.4;            ///< the error's power
  int64_t steps = 80;        ///< shrink factors 1, 0.99, …, 1 − 0.01 (steps − 1)
  int64_t max_elements = 0;  ///< errors are summed over about so many, evenly spread; 0: all. The range is always that of all
};

struct FittedScale {
  Tensor scale;                 ///< [1] or [channels], in the tensor's type
  Tensor offset;                ///< of the same shape; zeros if symmetric
  std::vector<int64_t> shrunk;  ///< how many hundredths of the range were given up, for each scale
};

/// The shrink factor f that minimises mean |v − q(v)|^p, the first of equals, over ranges
///   symmetric, signed codes:     [−f a, f a],       s = 2 f a / (high − low),        β = 0,              a = max |v|
///   asymmetric:                  [f min, f max],    s = f (max − min) / (high − low), β = f min − s low
///   symmetric, codes from 0 on:  [0, f a],          s = f a / high,                  β = 0
///   asymmetric, codes from 0 on: s as above,                                          β = −1e−9 (the values are not negative)
/// with q(v) = s · round(min(max((v − β) / s, low), high)) + β. Throws ValueError `fit_scale: …` for a tensor or channel without a range
/// (all zeros; all equal where asymmetric), a value that is not finite, p ≤ 0, steps outside [1, 100], or negative values under
/// codes from 0 on.
FittedScale fit_scale(const Tensor& v, const CodeRange& codes, const FitOptions& options = {});

/// Every value is at least −1e−9: codes may start from 0.
bool never_negative(const Tensor& v);

}  // namespace plumb::quantize

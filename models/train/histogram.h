// How a tensor's values are spread.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "engine/core/tensor.h"

namespace plumb::nn {
class Module;
}

namespace plumb::train {

/// Buckets of equal width from the smallest to the largest finite value; values that are not finite are in none of them.
struct Histogram {
  double low = 0, high = 0;     ///< of the finite values; 0 if there are none
  int64_t count = 0;            ///< of finite values
  double sum = 0, sum_squares = 0;
  std::vector<int64_t> counts;  ///< of values in [low + i w, low + (i + 1) w), the last with `high`; w = (high − low) / counts.size()
};

/// Of a floating tensor on any device, of any shape. A tensor whose values are all the same has them in the first bucket. `buckets` ≥ 1.
/// Throws DTypeError for another type.
Histogram histogram_of(const Tensor& x, int buckets = 30);

struct NamedHistogram {
  std::string name;  ///< "weights/blocks.0.up.weight"
  Histogram histogram;
};

/// "weights/NAME" of every parameter of `model`, and "gradients/NAME" where it has a gradient; parameters that share a tensor, once.
std::vector<NamedHistogram> histograms_of(const nn::Module& model);

}  // namespace plumb::train

// Bags of digits: positive if they hold nines, of which some bags have clean ones and others noisy ones only.
#pragma once
#include <cstdint>
#include <vector>

#include "engine/core/generator.h"
#include "engine/core/tensor.h"

namespace plumb::methods::mhim_mil {

enum class BagKind : uint8_t { negative, easy, hard };

struct Bag {
  Tensor x;                        ///< f32 [N, features]
  BagKind kind;                    ///< easy: its nines are clean; hard: all of them are noisy
  std::vector<int64_t> positives;  ///< where the nines are, ascending
  Tensor label() const;            ///< i64 [1]
};

struct BagOptions {
  int64_t min_size = 50, max_size = 100;  ///< instances
  int64_t min_nines = 3, max_nines = 6;   ///< of a positive bag
  double positive = 0.5;                  ///< share of bags, to the nearest
  double hard = 0.3;                      ///< share of the positive bags, to the nearest
  double noisy = 0.3;                     ///< chance of every other instance to be noisy too, so that noise gives nothing away
  double noise = 0.45;                    ///< deviation of the normal noise on a noisy instance's features
};

/// `count` bags in random order. Instances are drawn with replacement from rows [n, features] with labels i64 [n], 0 … 9; those that are no
/// nines uniformly among the rest. Throws ValueError for options out of range, or without nines or others among the rows; ShapeError for
/// rows and labels that do not fit.
std::vector<Bag> digit_bags(int64_t count, const Tensor& rows, const Tensor& labels, const BagOptions& options, Generator& generator);

}  // namespace plumb::methods::mhim_mil

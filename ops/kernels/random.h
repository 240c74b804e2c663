// Kernel slots of random draws. Every number depends on the seed, the offset and its place alone: see ops/random.h for the mapping.
#pragma once
#include "engine/core/kernel.h"
#include "engine/core/tensor.h"

namespace plumb {

/// What is drawn, and what a and b are.
enum class Draw : uint8_t {
  uniform,      ///< [a, b)
  normal,       ///< mean a, standard deviation b
  exponential,  ///< rate a
  gumbel,       ///< standard
};
/// Where in a generator's stream a draw begins.
struct RandomPlace {
  uint64_t seed, offset;
};

namespace kernel {

/// out (floating, row-major) ← numbers of one kind.
inline constinit Kernel<void(Draw kind, RandomPlace place, double a, double b, Tensor& out)> draw{"draw"};
/// out (floating, row-major) ← mean + std · z with z normal within [low, high].
inline constinit Kernel<void(RandomPlace place, double mean, double std, double low, double high, Tensor& out)> truncated_normal{
    "truncated_normal"};
/// out (any type, row-major) ← 1 with probability `rate`, else 0.
inline constinit Kernel<void(RandomPlace place, double rate, Tensor& out)> bernoulli{"bernoulli"};
/// out ← 1 with probability rate, element by element; floating, row-major. `valid` ← every rate is in [0, 1].
inline constinit Kernel<void(RandomPlace place, const Tensor& rate, Tensor& out, bool& valid)> bernoulli_rates{"bernoulli_rates"};
/// out (integer, row-major) ← numbers in [low, low + count).
inline constinit Kernel<void(RandomPlace place, int64_t low, uint64_t count, Tensor& out)> integers{"integers"};
/// out (i64, [n]) ← the order that sorts n random keys.
inline constinit Kernel<void(RandomPlace place, Tensor& out)> permutation{"permutation"};
/// out (i64, [rows, samples]) ← indices drawn with probability ∝ weights[row] (exp(weights[row]) if `logits`), weights [rows, classes].
/// `bad_row` ← the first row that has no distribution (a NaN, a negative weight, or nothing above zero; fewer such classes than samples
/// without replacement), else −1.
inline constinit Kernel<void(RandomPlace place, const Tensor& weights, bool logits, bool replacement, Tensor& out, int64_t& bad_row)>
    categorical{"categorical"};

}  // namespace kernel
}  // namespace plumb

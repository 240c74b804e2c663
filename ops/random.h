// Random tensors. Numbers come from a counter-based generator (engine/core/generator.h): element i of a draw depends on the seed, on
// where the generator stood and on i alone, so results are the same with any number of threads and on every device.
//
// The mapping: a draw of n elements takes ⌈n / 4⌉ counters, element i using word i mod 4 of the Philox block at counter offset + i / 4;
// normals use words (0, 1) and (2, 3) as the pairs of Box and Muller. f64 and integers use two words a number: ⌈n / 2⌉ counters,
// element i words 2 (i mod 2) and 2 (i mod 2) + 1 of block offset + i / 2. Where a function below says "two words each", the latter holds
// for it in every type.
//
// Draws have no derivative: for a differentiable sample, use the reparameterised forms (normal with tensors, gumbel_softmax).
#pragma once
#include "engine/core/generator.h"
#include "engine/core/tensor.h"

namespace plumb {

struct RandomOptions {
  DType dtype = f32;
  Device device = {};
  Generator* generator = nullptr;  ///< the calling thread's default_generator() if null
};

/// Uniform in [0, 1): multiples of 2⁻²⁴ in f32, 2⁻⁵³ in f64, 2⁻¹¹ in f16, 2⁻⁸ in bf16.
Tensor rand(const Shape& shape, RandomOptions options = {});
/// Normal with mean 0 and standard deviation 1 (Box–Muller; f32 reaches ±6.7).
Tensor randn(const Shape& shape, RandomOptions options = {});
Tensor rand_like(const Tensor& like, Generator* generator = nullptr);
Tensor randn_like(const Tensor& like, Generator* generator = nullptr);
/// Uniform in [low, high). Throws ValueError unless low ≤ high and both are finite.
Tensor uniform(const Shape& shape, double low, double high, RandomOptions options = {});
/// Throws ValueError for a negative or non-finite std.
Tensor normal(const Shape& shape, double mean, double std, RandomOptions options = {});
/// mean + std ⊙ ε with ε standard normal, mean and std broadcast: differentiable in both (Kingma & Welling 2014).
Tensor normal(const Tensor& mean, const Tensor& std, Generator* generator = nullptr);
/// Normal(mean, std) given that it lies within [low, high], exactly: Φ⁻¹ of a uniform number (two words each, as f64).
/// Throws ValueError unless std > 0 and low < high.
Tensor truncated_normal(const Shape& shape, double mean, double std, double low, double high, RandomOptions options = {});
/// Density rate · e^(−rate x), x > 0. Throws ValueError unless rate > 0.
Tensor exponential(const Shape& shape, double rate = 1, RandomOptions options = {});
/// Standard Gumbel, −log E with E exponential: argmax(logits + gumbel) is distributed as softmax(logits).
Tensor gumbel(const Shape& shape, RandomOptions options = {});

/// true (or 1, in another options.dtype) with probability `rate`: word < rate · 2³². bool unless a type is given.
/// Throws ValueError outside [0, 1].
Tensor bernoulli(const Shape& shape, double rate, RandomOptions options = {.dtype = boolean});
/// 1 with probability rate[i], else 0, of rate's shape and type (floating). No derivative. Throws ValueError if a rate is outside [0, 1].
Tensor bernoulli(const Tensor& rate, Generator* generator = nullptr);

/// Integers in [low, high) (i64 unless i32 or u8 is given), with a bias below (high − low) / 2⁶⁴. Throws ValueError unless low < high and
/// the type holds both.
Tensor randint(int64_t low, int64_t high, const Shape& shape, RandomOptions options = {.dtype = i64});
/// The numbers 0 … n − 1 in random order, i64: the order that sorts n 64-bit keys (two words each).
Tensor randperm(int64_t n, RandomOptions options = {.dtype = i64});

/// One index for each row of logits [.., classes], with probability softmax(logits): i64 [..]. −∞ is never drawn. Inverts the cumulative
/// sum, in f64, of one number a row. Throws ValueError if a row has a NaN or no finite entry.
Tensor categorical(const Tensor& logits, Generator* generator = nullptr);
/// softmax((logits + g) / temperature) over dim, g Gumbel: a differentiable sample of a class (Jang, Gu & Poole 2017). With `hard` the
/// result is one-hot at the largest entry, and the gradient is still that of the soft one (straight-through).
Tensor gumbel_softmax(const Tensor& logits, double temperature = 1, bool hard = false, int dim = -1, Generator* generator = nullptr);
/// `samples` indices for each row of weights [.., classes] (non-negative, not all zero, need not sum to 1): i64 [.., samples]. Without
/// replacement they are distinct: the classes of the smallest E_c / weight_c, E exponential (Efraimidis & Spirakis 2006), in that order.
/// Throws ValueError for negative weights, rows of zeros, or fewer positive weights than distinct samples.
Tensor multinomial(const Tensor& weights, int64_t samples, bool replacement = false, Generator* generator = nullptr);

// Fills in place; any strides, in row-major order of the elements. Where gradients are recorded, as fill_.
void uniform_(Tensor& x, double low = 0, double high = 1, Generator* generator = nullptr);
void normal_(Tensor& x, double mean = 0, double std = 1, Generator* generator = nullptr);
void truncated_normal_(Tensor& x, double mean, double std, double low, double high, Generator* generator = nullptr);
void exponential_(Tensor& x, double rate = 1, Generator* generator = nullptr);
void bernoulli_(Tensor& x, double rate, Generator* generator = nullptr);

}  // namespace plumb

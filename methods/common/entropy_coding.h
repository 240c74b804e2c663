// What weights cost when they are stored as integers with a code of variable length: exponential Golomb codes, Huffman's, and the entropy.
#pragma once
#include <cstdint>
#include <map>
#include <vector>

#include "engine/core/tensor.h"

namespace plumb::methods {

/// 0, 1, −1, 2, −2, … → 0, 1, 2, 3, 4, …, and back.
uint64_t fold_sign(int64_t k);
int64_t unfold_sign(uint64_t u);

/// 2 ⌊log₂(⌊u / 2^m⌋ + 1)⌋ + 1 + m: the bits of u in the exponential Golomb code of order m. Throws ValueError for an order outside [0,
/// 30].
int64_t exp_golomb_bits(uint64_t u, int order = 0);

/// Writes numbers with the exponential Golomb code: of q = ⌊u / 2^m⌋ + 1, as many zeros as q has bits behind its first one, q, then the m
/// low bits of u. The first bit written is the highest of the first byte.
class ExpGolombWriter {
 public:
  explicit ExpGolombWriter(int order = 0);
  void put(uint64_t u);
  int64_t bits() const { return bits_; }
  /// What was written, the last byte filled with zeros.
  const std::vector<uint8_t>& bytes() const { return bytes_; }

 private:
  void put_bits(uint64_t value, int count);
  int order_;
  int64_t bits_ = 0;
  std::vector<uint8_t> bytes_;
};

class ExpGolombReader {
 public:
  /// `bytes` must outlive the reader.
  explicit ExpGolombReader(const std::vector<uint8_t>& bytes, int order = 0);
  /// The next number. Throws IoError where the bytes end before it does.
  uint64_t next();

 private:
  uint64_t read_bits(int count);
  const std::vector<uint8_t>& bytes_;
  int order_;
  size_t at_ = 0;  // bit
};

/// How often each integer occurs.
using Counts = std::map<int64_t, int64_t>;

/// round(w / step), halves to even, of all elements of all tensors. Throws ValueError unless step > 0, for no elements, or for numbers that
/// are not finite.
std::vector<int64_t> grid_integers(const std::vector<Tensor>& parameters, double step);
Counts count_integers(const std::vector<int64_t>& integers);

enum class Coder : uint8_t { exp_golomb, entropy, huffman, fixed };
/// Mean bits of an integer: with exponential Golomb codes of fold_sign(k); −Σ p log₂ p of what was counted; with Huffman's code for it (at
/// least one bit; its table not counted); with ⌈log₂(largest − smallest + 1)⌉ bits each. Throws ValueError for no counts.
double mean_bits(const Counts& counts, Coder coder, int order = 0);
/// mean_bits of the weights on the grid of `step`; the step itself is one number and not counted.
double bits_per_parameter(const std::vector<Tensor>& parameters, double step, Coder coder = Coder::exp_golomb, int order = 0);
/// The share of zeros.
double share_of_zeros(const Counts& counts);

}  // namespace plumb::methods

// Exponential Golomb and Huffman codes.
#include "methods/common/entropy_coding.h"

#include <bit>
#include <cmath>
#include <queue>
#include <string>

namespace plumb::methods {
namespace {

void check_order(int order) {
  if (order < 0 || order > 30) throw ValueError("exp_golomb: the order must be in [0, 30], it is " + std::to_string(order));
}

int floor_log2(uint64_t q) { return std::bit_width(q) - 1; }

double total(const Counts& counts) {
  double n = 0;
  for (auto [k, count] : counts) n += static_cast<double>(count);
  if (!(n > 0)) throw ValueError("mean_bits: nothing was counted");
  return n;
}

double entropy_bits(const Counts& counts, double n) {
  double bits = 0;
  for (auto [k, count] : counts) {
    double p = static_cast<double>(count) / n;
    bits -= p * std::log2(p);
  }
  return bits;
}

// The cost of Huffman's tree is the sum of the weights of its inner nodes.
double huffman_bits(const Counts& counts, double n) {
  if (counts.size() == 1) return 1;
  std::priority_queue<double, std::vector<double>, std::greater<>> nodes;
  for (auto [k, count] : counts) nodes.push(static_cast<double>(count));
  double cost = 0;
  while (nodes.size() > 1) {
    double a = nodes.top();
    nodes.pop();
    double b = nodes.top();
    nodes.pop();
    cost += a + b;
    nodes.push(a + b);
  }
  return cost / n;
}

double golomb_bits(const Counts& counts, double n, int order) {
  double bits = 0;
  for (auto [k, count] : counts) bits += static_cast<double>(count * exp_golomb_bits(fold_sign(k), order));
  return bits / n;
}

double fixed_bits(const Counts& counts) { return std::bit_width(static_cast<uint64_t>(counts.rbegin()->first - counts.begin()->first)); }

}  // namespace

uint64_t fold_sign(int64_t k) { return k > 0 ? 2 * static_cast<uint64_t>(k) - 1 : 2 * static_cast<uint64_t>(-k); }
int64_t unfold_sign(uint64_t u) { return u % 2 == 1 ? static_cast<int64_t>((u + 1) / 2) : -static_cast<int64_t>(u / 2); }

int64_t exp_golomb_bits(uint64_t u, int order) {
  check_order(order);
  return 2 * floor_log2((u >> order) + 1) + 1 + order;
}

ExpGolombWriter::ExpGolombWriter(int order) : order_((check_order(order), order)) {}

void ExpGolombWriter::put_bits(uint64_t value, int count) {
  for (int i = count - 1; i >= 0; --i, ++bits_) {
    if (bits_ % 8 == 0) bytes_.push_back(0);
    if (value >> i & 1) bytes_.back() = static_cast<uint8_t>(bytes_.back() | 128 >> bits_ % 8);
  }
}

void ExpGolombWriter::put(uint64_t u) {
  uint64_t q = (u >> order_) + 1;
  int behind = floor_log2(q);
  put_bits(0, behind);
  put_bits(q, behind + 1);
  put_bits(u & ((uint64_t{1} << order_) - 1), order_);
}

ExpGolombReader::ExpGolombReader(const std::vector<uint8_t>& bytes, int order) : bytes_(bytes), order_((check_order(order), order)) {}

uint64_t ExpGolombReader::read_bits(int count) {
  uint64_t value = 0;
  for (int i = 0; i < count; ++i, ++at_) {
    if (at_ / 8 >= bytes_.size()) throw IoError("exp_golomb: the bytes end within a number");
    value = value << 1 | (bytes_[at_ / 8] >> (7 - at_ % 8) & 1);
  }
  return value;
}

uint64_t ExpGolombReader::next() {
  int behind = 0;
  while (read_bits(1) == 0)
    if (++behind > 63) throw IoError("exp_golomb: more than 63 zeros begin no number");
  uint64_t q = uint64_t{1} << behind | read_bits(behind);
  uint64_t low = read_bits(order_);
  return (q - 1) << order_ | low;
}

std::vector<int64_t> grid_integers(const std::vector<Tensor>& parameters, double step) {
  if (!(step > 0)) throw ValueError("grid_integers: the step must be positive, it is " + decimal(step));
  std::vector<int64_t> integers;
  for (const Tensor& p : parameters)
    for (double w : to_vector(p.detach())) {
      if (!std::isfinite(w)) throw ValueError("grid_integers: " + decimal(w) + " has no place on the grid");
      integers.push_back(static_cast<int64_t>(std::nearbyint(w / step)));
    }
  if (integers.empty()) throw ValueError("grid_integers: there are no weights");
  return integers;
}

Counts count_integers(const std::vector<int64_t>& integers) {
  Counts counts;
  for (int64_t k : integers) ++counts[k];
  return counts;
}

double mean_bits(const Counts& counts, Coder coder, int order) {
  double n = total(counts);
  switch (coder) {
    case Coder::exp_golomb:
      return golomb_bits(counts, n, order);
    case Coder::entropy:
      return entropy_bits(counts, n);
    case Coder::huffman:
      return huffman_bits(counts, n);
    case Coder::fixed:
      return fixed_bits(counts);
  }
  return 0;
}

double bits_per_parameter(const std::vector<Tensor>& parameters, double step, Coder coder, int order) {
  return mean_bits(count_integers(grid_integers(parameters, step)), coder, order);
}

double share_of_zeros(const Counts& counts) {
  auto zero = counts.find(0);
  return zero == counts.end() ? 0 : static_cast<double>(zero->second) / total(counts);
}

}  // namespace plumb::methods

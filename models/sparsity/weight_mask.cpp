// Layer densities, random masks, bits.
#include "models/sparsity/weight_mask.h"

#include <fmt/format.h>

#include <bit>
#include <cmath>

#include "engine/data/dataset.h"
#include "ops/pointwise.h"
#include "ops/shape.h"

namespace plumb::sparsity {
namespace {

void check(const std::vector<Shape>& layers, double density) {
  if (!(density > 0 && density <= 1)) throw ValueError(fmt::format("sparsity: the density must lie in (0, 1], it is {}", density));
  if (layers.empty()) throw ValueError("sparsity: there are no layers to share weights among");
  for (size_t l = 0; l < layers.size(); ++l)
    if (numel(layers[l]) == 0) throw ValueError(fmt::format("sparsity: layer {} has no weights: {}", l, to_string(layers[l])));
}

}  // namespace

std::vector<double> uniform_densities(const std::vector<Shape>& layers, double density) {
  check(layers, density);
  return std::vector<double>(layers.size(), density);
}

std::vector<double> erk_densities(const std::vector<Shape>& layers, double density) {
  check(layers, density);
  std::vector<double> size, score;
  for (const Shape& shape : layers) {
    double n = static_cast<double>(numel(shape)), total = 0;
    for (int64_t side : shape) total += static_cast<double>(side);
    size.push_back(n);
    score.push_back(shape.empty() ? 1 : total / n);
  }
  std::vector<bool> dense(layers.size());
  while (true) {
    double budget = 0, weight = 0;
    for (size_t l = 0; l < layers.size(); ++l) {
      budget += dense[l] ? -(1 - density) * size[l] : density * size[l];
      if (!dense[l]) weight += score[l] * size[l];
    }
    double epsilon = weight > 0 ? budget / weight : 0;
    size_t largest = layers.size();
    for (size_t l = 0; l < layers.size(); ++l)
      if (!dense[l] && (largest == layers.size() || score[l] > score[largest])) largest = l;
    if (largest < layers.size() && epsilon * score[largest] > 1) {
      dense[largest] = true;
      continue;
    }
    std::vector<double> out;
    for (size_t l = 0; l < layers.size(); ++l) out.push_back(dense[l] ? 1 : epsilon * score[l]);
    return out;
  }
}

Tensor random_mask(const Shape& shape, double density, Generator& generator) {
  check({shape}, density);
  int64_t n = numel(shape), kept = std::llround(density * static_cast<double>(n));
  if (kept < 1)
    throw ValueError(fmt::format("sparsity: a density of {} leaves none of the {} weights of a layer {}", density, n, to_string(shape)));
  Tensor mask = zeros(shape, boolean);
  std::vector<int64_t> order = data::random_order(n, generator);
  for (int64_t k = 0; k < kept; ++k) mask.data<bool>()[order[static_cast<size_t>(k)]] = true;
  return mask;
}

BitMask::BitMask(const Tensor& mask) : shape_(mask.shape()), bits_(static_cast<size_t>((mask.numel() + 63) / 64)) {
  Tensor set = contiguous_data(to((mask != 0).detach(), cpu));
  const bool* at = set.data<bool>();
  for (int64_t i = 0; i < mask.numel(); ++i)
    if (at[i]) bits_[static_cast<size_t>(i / 64)] |= uint64_t{1} << (i % 64);
}

Tensor BitMask::tensor(DType dtype) const {
  Tensor out = empty(shape_, boolean);
  bool* at = out.data<bool>();
  for (int64_t i = 0; i < size(); ++i) at[i] = (bits_[static_cast<size_t>(i / 64)] >> (i % 64)) & 1;
  return to(out, dtype);
}

int64_t BitMask::count() const {
  int64_t total = 0;
  for (uint64_t word : bits_) total += std::popcount(word);
  return total;
}

void BitMask::check_shape(const BitMask& o) const {
  if (shape_ != o.shape_) throw ShapeError("sparsity: masks of " + to_string(shape_) + " and " + to_string(o.shape_));
}

BitMask& BitMask::operator|=(const BitMask& o) {
  check_shape(o);
  for (size_t i = 0; i < bits_.size(); ++i) bits_[i] |= o.bits_[i];
  return *this;
}

int64_t BitMask::overlap(const BitMask& o) const {
  check_shape(o);
  int64_t total = 0;
  for (size_t i = 0; i < bits_.size(); ++i) total += std::popcount(bits_[i] & o.bits_[i]);
  return total;
}

}  // namespace plumb::sparsity

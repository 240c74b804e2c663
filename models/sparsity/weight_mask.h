// Which weights of a network are there: how many a layer gets, masks drawn with that number, and their storage in bits.
#pragma once
#include <cstdint>
#include <vector>

#include "engine/core/generator.h"
#include "engine/core/tensor.h"

namespace plumb::sparsity {

/// The share of weights that each layer keeps so that all together keep `density` of theirs.
/// Uniform: the same for all. Both throw ValueError for a density outside (0, 1], no layers, or a layer without weights.
std::vector<double> uniform_densities(const std::vector<Shape>& layers, double density);
/// Erdős–Rényi kernel (Evci et al., ICML 2020): in proportion to a_l = (Σ_i n_i) / N_l for a layer of shape (n_1, …, n_r) with N_l weights.
/// Where that exceeds 1 the layer with the largest is dense, and the others share what is left: ε = (D Σ_sparse N − (1 − D) Σ_dense N) /
/// Σ_sparse a N. Such an ε exists for every D in (0, 1], since a layer that becomes dense needs less than what was to be shared out.
std::vector<double> erk_densities(const std::vector<Shape>& layers, double density);

/// round(density · n) of the n places of `shape`, drawn without replacement: bool. Throws ValueError if that is none.
Tensor random_mask(const Shape& shape, double density, Generator& generator = default_generator());

/// A mask with one bit a place.
class BitMask {
 public:
  BitMask() = default;
  /// Of a tensor: where it is not 0.
  explicit BitMask(const Tensor& mask);
  /// As bool, or 0 and 1 of another type.
  Tensor tensor(DType dtype = boolean) const;
  const Shape& shape() const { return shape_; }
  int64_t size() const { return numel(shape_); }
  /// Places that are set.
  int64_t count() const;
  /// Adds the other's places. Throws ShapeError for another shape.
  BitMask& operator|=(const BitMask& o);
  /// Places set in both.
  int64_t overlap(const BitMask& o) const;
  bool operator==(const BitMask& o) const { return shape_ == o.shape_ && bits_ == o.bits_; }
  /// Bytes of the bits.
  int64_t bytes() const { return static_cast<int64_t>(bits_.size() * sizeof(uint64_t)); }

 private:
  void check_shape(const BitMask& o) const;
  Shape shape_{0};
  std::vector<uint64_t> bits_;
};

}  // namespace plumb::sparsity

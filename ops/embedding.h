// Rows of a table chosen by indices.
#pragma once
#include <cstdint>

#include "engine/core/tensor.h"

namespace plumb {

/// y[.., :] = weight[indices[..], :]: weight [rows, columns], indices i64 or i32 of any shape → [indices.., columns]. The gradient of a row
/// used several times is summed in the order of the indices. The row `padding_idx` (if not negative) gets no gradient.
/// Throws IndexError naming the first index outside [0, rows), ShapeError unless weight is a matrix.
Tensor embedding(const Tensor& weight, const Tensor& indices, int64_t padding_idx = -1);

enum class BagMode : uint8_t { sum, mean, max };
struct EmbeddingBagOptions {
  BagMode mode = BagMode::mean;
  Tensor per_sample_weights;  ///< one number an index, by which its row counts; for sum only
  int64_t padding_idx = -1;   ///< indices left out of their bags
};
/// Rows of the table joined bag by bag, [bags, columns], without storing them all (sum, mean). indices [n] with bag b at offsets[b] …
/// offsets[b + 1] (the last one to the end), or indices [bags, size] without offsets. An empty bag gives zeros. Throws as embedding, and
/// ValueError for offsets that do not start at 0, fall, or leave [0, n], or weights with another mode than sum.
Tensor embedding_bag(const Tensor& weight, const Tensor& indices, const Tensor& offsets = {}, const EmbeddingBagOptions& options = {});

}  // namespace plumb

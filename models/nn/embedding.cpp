// Embedding tables.
#include "models/nn/embedding.h"

#include "engine/autograd/grad_mode.h"
#include "models/nn/init.h"
#include "ops/embedding.h"
#include "ops/pointwise.h"
#include "ops/shape.h"

namespace plumb::nn {

Embedding::Embedding(int64_t rows, int64_t columns, EmbeddingOptions options) : padding_idx_(options.padding_idx) {
  if (rows < 1 || columns < 1)
    throw ValueError("embedding: sizes must be positive, got " + std::to_string(rows) + " rows of " + std::to_string(columns));
  if (padding_idx_ < -1 || padding_idx_ >= rows)
    throw ValueError("embedding: padding_idx " + std::to_string(padding_idx_) + " is no row of " + std::to_string(rows));
  register_parameter("weight", weight, empty({rows, columns}, options.dtype, options.device));
  init::normal(weight);
  if (padding_idx_ < 0) return;
  NoGrad off;
  Tensor padding = select(weight, 0, padding_idx_);
  zero_(padding);
}

Tensor Embedding::operator()(const Tensor& indices) const { return embedding(weight, indices, padding_idx_); }

}  // namespace plumb::nn

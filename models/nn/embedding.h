// Embedding: a table of learned rows.
#pragma once
#include "models/nn/module.h"

namespace plumb::nn {

struct EmbeddingOptions {
  int64_t padding_idx = -1;  ///< a row that starts as 0 and is not trained; −1: none
  DType dtype = f32;
  Device device = {};
};

/// y = weight[indices]: indices of any shape → [indices.., columns]; weight [rows, columns], starts as N(0, 1).
/// Throws ValueError unless the sizes are positive and padding_idx is a row or −1.
class Embedding : public Module {
 public:
  Embedding(int64_t rows, int64_t columns, EmbeddingOptions options = {});
  Embedding(Module* parent, std::string name, int64_t rows, int64_t columns, EmbeddingOptions options = {})
      : Embedding(rows, columns, options) {
    join(parent, std::move(name));
  }
  Tensor operator()(const Tensor& indices) const;

  Parameter weight;

 private:
  int64_t padding_idx_;
};

}  // namespace plumb::nn

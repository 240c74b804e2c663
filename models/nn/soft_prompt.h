// Prompt tuning: learned embeddings in front of every sequence of a frozen model.
#pragma once
#include "models/nn/module.h"

namespace plumb::nn {

/// x [B, T, width] → [B, length + T, width]: the same `length` learned embeddings before each sequence (Lester et al., EMNLP 2021).
class SoftPrompt : public Module {
 public:
  /// Starts as N(0, 0.02²).
  SoftPrompt(int64_t length, int64_t width, DType dtype = f32);
  /// Starts as a copy of `rows` [length, width], such as the embeddings of a text. Throws ShapeError for another rank.
  explicit SoftPrompt(const Tensor& rows);
  /// Throws ShapeError unless x is [B, T, width].
  Tensor operator()(const Tensor& x) const;
  int64_t length() const { return weight.size(0); }

  Parameter weight;
};

}  // namespace plumb::nn

// Objects in images: what is there, what is predicted, what is found.
#pragma once
#include <vector>

#include "engine/core/tensor.h"

namespace plumb::detection {

/// The true objects of a batch, padded to the same number.
struct Objects {
  Tensor boxes;    ///< [B, K, 4] corners in pixels
  Tensor classes;  ///< i64 [B, K]; −1 where there is no object
  int64_t images() const { return classes.size(0); }
};

/// What one stage of a detector says of a batch.
struct Prediction {
  Tensor logits;  ///< [B, P, classes], for each class by itself
  Tensor boxes;   ///< [B, P, 4] corners in pixels
};

/// What is found in one image.
struct Found {
  Tensor boxes;    ///< [n, 4] corners in pixels
  Tensor scores;   ///< [n] in [0, 1], falling
  Tensor classes;  ///< i64 [n]
};

}  // namespace plumb::detection

// Class directions that never move: the vertices of a regular simplex, reserved for classes that are there and classes to come.
#pragma once
#include <cstdint>

#include "models/nn/module.h"

namespace plumb::methods::stationary_repr {

/// K unit vectors in K − 1 dimensions with ⟨w_i, w_j⟩ = −1 / (K − 1) for i ≠ j, whose sum is 0: [K, K − 1]. They are e_1 … e_{K−1} and
/// ((1 − √K) / (K − 1)) 1, centred and brought to length 1. Throws ValueError for K < 2.
Tensor simplex_weights(int64_t classes, DType dtype = f32);

/// A classifier of K classes that is not trained: logits z · Wᵀ of features z [.., K − 1], without bias, temperature or normalisation. What
/// a third party pre-trains on takes rows from the start, a local learner's classes take them from the end, so that they do not meet.
class FixedClassifier : public nn::Module {
 public:
  /// Throws as simplex_weights.
  explicit FixedClassifier(int64_t classes);
  /// [.., K]. Throws ShapeError for features of another width.
  Tensor operator()(const Tensor& z) const;
  /// The rows K − 1 − y of a local learner's labels y (i64). Throws IndexError for a label outside [0, K).
  Tensor local_rows(const Tensor& labels) const;
  /// The logits' columns in the order of local labels: y's is column y.
  Tensor local_logits(const Tensor& z) const;
  /// Throws ValueError where `pretrained` classes from the start and `local` ones from the end would share a row.
  void check_room(int64_t pretrained, int64_t local) const;
  int64_t classes() const { return weight_.size(0); }
  int64_t width() const { return weight_.size(1); }
  const Tensor& weight() const { return weight_; }

 private:
  nn::Buffer weight_;
};

}  // namespace plumb::methods::stationary_repr

// Batches of P classes with K examples each, as losses of pairs need them.
#pragma once
#include <cstdint>
#include <vector>

#include "engine/core/generator.h"
#include "engine/core/tensor.h"

namespace plumb::methods {

/// Draws P different classes a batch, and K different examples of each (with replacement where a class has fewer).
class ClassBatches {
 public:
  /// labels[i] is the class of example i. Classes with a single example are never drawn. Throws ValueError for P < 1, K < 2, or fewer than
  /// P classes with two examples; ShapeError or DTypeError unless labels are i64 [n].
  ClassBatches(const Tensor& labels, int64_t classes, int64_t per_class);
  /// Places of the next batch's examples, i64 [P K], class by class.
  Tensor next(Generator& generator) const;

 private:
  std::vector<std::vector<int64_t>> places_;
  int64_t classes_, per_class_;
};

}  // namespace plumb::methods

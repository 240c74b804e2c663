// Covariance over a batch.
#include "methods/common/decorrelation.h"

#include <string>

#include "ops/create.h"
#include "ops/elementary.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods {

Tensor batch_covariance(const Tensor& outputs) {
  if (outputs.rank() != 2) throw ShapeError("batch_covariance: takes outputs [B, D], got " + to_string(outputs.shape()));
  if (outputs.size(0) < 2)
    throw ValueError("batch_covariance: a batch of " + std::to_string(outputs.size(0)) + " has no covariance; it takes 2 rows");
  Tensor centred = outputs - mean(outputs, {0}, true);
  return matmul(mT(centred), centred) / static_cast<double>(outputs.size(0) - 1);
}

Tensor off_diagonal_covariance(const Tensor& outputs) {
  Tensor c = batch_covariance(outputs);
  Tensor others = 1 - eye(c.size(0), -1, c.dtype(), c.device());
  return sum(square(c * others)) / static_cast<double>(c.size(0));
}

}  // namespace plumb::methods

// Logits of a range of classes: views, so that what lies outside gets a gradient of exact zeros.
#include "methods/common/local_logits.h"

#include <string>

#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods {
namespace {

Tensor columns(const char* name, const Tensor& logits, int64_t begin, int64_t end) {
  if (logits.rank() != 2) throw ShapeError(std::string(name) + ": logits must be [B, C], they are " + to_string(logits.shape()));
  if (begin < 0 || begin >= end || end > logits.size(1))
    throw ValueError(std::string(name) + ": no classes [" + std::to_string(begin) + ", " + std::to_string(end) + ") among " +
                     std::to_string(logits.size(1)) + " logits");
  return slice(logits, 1, begin, end);
}

}  // namespace

Tensor local_cross_entropy(const Tensor& logits, const Tensor& labels, int64_t begin, int64_t end, Reduction reduction) {
  Tensor z = columns("local_cross_entropy", logits, begin, end);
  for (int64_t y : to_vector<int64_t>(labels))
    if (y < begin || y >= end)
      throw IndexError("local_cross_entropy: label " + std::to_string(y) + " is outside the classes [" + std::to_string(begin) + ", " +
                       std::to_string(end) + ")");
  return cross_entropy(z, labels - begin, {.reduction = reduction});
}

Tensor energy_score(const Tensor& logits, int64_t begin, int64_t end) {
  return -logsumexp(columns("energy_score", logits, begin, end), {1});
}

}  // namespace plumb::methods

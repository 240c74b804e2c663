// Losses over tokens: everything from log-softmax, so that small probabilities keep their digits.
#include "methods/common/token_losses.h"

#include <string>

#include "methods/common/reduction.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/softmax.h"

namespace plumb::methods {
namespace {

void check_same(const char* op, const Tensor& a, const Tensor& b) {
  if (a.shape() != b.shape())
    throw ShapeError(std::string(op) + ": logits of two models differ in shape: " + to_string(a.shape()) + " and " + to_string(b.shape()));
}

Tensor log_probabilities(const char* op, const Tensor& logits, const Tensor& mask) {
  Tensor rows = token_rows(op, logits, mask);
  return log_softmax(rows.dtype() == f64 ? rows : to(rows, f32), -1);
}

}  // namespace

Tensor token_rows(const char* op, const Tensor& logits, const Tensor& mask) {
  if (logits.rank() < 2) throw ShapeError(std::string(op) + ": takes logits [.., V] of tokens, got " + to_string(logits.shape()));
  Tensor rows = flatten(logits, 0, -2);
  if (mask.defined()) {
    Shape wanted = logits.shape().slice(0, logits.rank() - 1);
    if (mask.shape() != wanted)
      throw ShapeError(std::string(op) + ": the mask is " + to_string(mask.shape()) + ", the tokens are " + to_string(wanted));
    if (mask.dtype() != DType::boolean)
      throw DTypeError(std::string(op) + ": the mask must be bool, it is " + std::string(name(mask.dtype())));
    rows = index_select(rows, 0, flatten(nonzero(flatten(mask))));
  }
  if (rows.size(0) == 0) throw ValueError(std::string(op) + ": no token counts: all are padding");
  return rows;
}

Tensor token_values(const char* op, const Tensor& values, const Tensor& mask) {
  return flatten(token_rows(op, unsqueeze(values, -1), mask));
}

Tensor label_smoothed_cross_entropy(const Tensor& logits, const Tensor& target, const Tensor& mask, double epsilon, Reduction reduction) {
  constexpr const char* op = "label_smoothed_cross_entropy";
  Tensor rows = token_rows(op, logits, mask);
  if (target.shape() != logits.shape().slice(0, logits.rank() - 1))
    throw ShapeError(std::string(op) + ": targets " + to_string(target.shape()) + " do not fit logits " + to_string(logits.shape()));
  double classes = static_cast<double>(rows.size(1)), most = 1 - 1 / classes;
  if (!(epsilon >= 0 && epsilon <= most))
    throw ValueError(std::string(op) + ": epsilon must lie in [0, 1 - 1/V] = [0, " + std::to_string(most) + "], it is " +
                     decimal(epsilon));
  double share = epsilon > 0 ? epsilon * classes / (classes - 1) : 0;
  return cross_entropy(rows, token_values(op, target, mask), {.label_smoothing = share, .reduction = reduction});
}

Tensor symmetric_kl(const Tensor& logits1, const Tensor& logits2, const Tensor& mask, Reduction reduction) {
  check_same("symmetric_kl", logits1, logits2);
  Tensor a = log_probabilities("symmetric_kl", logits1, mask), b = log_probabilities("symmetric_kl", logits2, mask);
  return reduced(sum((exp(a) - exp(b)) * (a - b), {-1}) * 0.5, reduction);
}

Tensor consistency_kl(const Tensor& logits, const Tensor& target, const Tensor& mask, Reduction reduction) {
  check_same("consistency_kl", logits, target);
  Tensor f = log_probabilities("consistency_kl", logits, mask), p = log_probabilities("consistency_kl", target.detach(), mask);
  return kl_div(f, p, {.log_target = true, .reduction = reduction});
}

Tensor negative_entropy(const Tensor& logits, const Tensor& mask) {
  Tensor f = log_probabilities("negative_entropy", logits, mask);
  return mean(sum(exp(f) * f, {-1}));
}

}  // namespace plumb::methods

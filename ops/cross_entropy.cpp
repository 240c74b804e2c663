// Cross-entropy. Against class numbers it is fused: forward keeps two numbers a row, backward is one pass over the logits.
#include <numeric>

#include "engine/autograd/record.h"
#include "ops/kernels/loss.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/pointwise_call.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/softmax.h"

namespace plumb {
namespace {

// The target as a distribution times weights: q_c = ((1 − ε)[c = target] + ε / C) w_c, 0 for ignored rows.
// Smoothing weighs the target's share by w_target and the rest by each class's own weight.
Tensor target_distribution(const Tensor& target, const Tensor& class_weight, CrossEntropyRow row, int64_t classes, DType type) {
  NoGrad off;
  std::vector<int64_t> numbers(static_cast<size_t>(classes));
  std::iota(numbers.begin(), numbers.end(), int64_t{0});
  Tensor wide = unsqueeze(to(target, i64), -1);
  Tensor q =
      to(wide == to(from_vector(numbers), target.device()), type) * (1 - row.smoothing) + row.smoothing / static_cast<double>(classes);
  if (class_weight.defined()) q = q * class_weight;
  return where(wide == row.ignore_index, 0, q);
}

// y = s Σ_rows Σ_c q_c (log Z − x_c):   dx = s dy (softmax(x) Σ q − q)
Tensor dlogits_formula(const Tensor& dy, const Tensor& logits, const Tensor& target, const Tensor& class_weight, CrossEntropyRow row,
                       const Tensor& scale) {
  DType type = scale.dtype();
  Tensor q = target_distribution(target, class_weight, row, logits.shape().back(), type);
  Tensor factor = dy.rank() == 0 ? dy * scale : unsqueeze(dy * scale, -1);
  return to(factor * (softmax(to(logits, type), -1) * sum(q, {-1}, true) - q), logits.dtype());
}

Tensor flat_rows(const Tensor& x) {
  Tensor rows = contiguous_data(x);
  int64_t n = x.shape().back(), count = numel(x.shape().slice(0, x.rank() - 1));
  return view_of(rows, {count, n}, {n, 1}, 0);
}

Tensor against_classes(const Tensor& logits, const Tensor& target, const CrossEntropyOptions& o) {
  Shape lead = logits.shape().slice(0, logits.rank() - 1);
  if (target.shape() != lead)
    throw ShapeError("cross_entropy: class numbers must have the logits' shape without its last dimension (the classes): logits " +
                     to_string(logits.shape()) + ", target " + to_string(target.shape()));
  DType type = compute_dtype(logits.dtype());
  Tensor weight = o.weight.defined() ? contiguous_data(to(o.weight.detach(), type)) : Tensor();
  CrossEntropyRow row{o.ignore_index, o.label_smoothing};
  Shape none;
  Tensor loss = empty(o.reduction == Reduction::none ? lead : none, type, logits.device(), "cross_entropy");
  Tensor statistics = empty({numel(lead), 2}, type, logits.device(), "cross_entropy"),
         scale = empty(none, type, logits.device(), "cross_entropy");
  kernel::cross_entropy(logits.device(), flat_rows(logits), contiguous_data(target), weight, row, o.reduction == Reduction::mean, loss,
                        statistics, scale);
  return record("cross_entropy", loss, {logits}, saving(logits, target, weight, statistics, scale),
                [row](const Grads& dy, const Saved& s, Needs) -> Grads {
                  if (grad_enabled()) return dlogits_formula(dy[0], s[0], s[1], s[2], row, s[4]);
                  Tensor dx = empty(s[0].shape(), s[0].dtype(), s[0].device(), "cross_entropy_backward"), rows = flat_rows(dx);
                  kernel::cross_entropy_backward(dx.device(), contiguous_data(dy[0]), flat_rows(s[0]), contiguous_data(s[1]), s[2], row,
                                                 s[3], s[4], rows);
                  return dx;
                });
}

Tensor against_probabilities(const Tensor& logits, const Tensor& target, const CrossEntropyOptions& o) {
  if (target.shape() != logits.shape())
    throw ShapeError("cross_entropy: probabilities must have the logits' shape: logits " + to_string(logits.shape()) + ", target " +
                     to_string(target.shape()));
  DType type = compute_dtype(logits.dtype());
  int64_t classes = logits.shape().back();
  Tensor q = to(target, type);
  if (o.label_smoothing > 0) q = q * (1 - o.label_smoothing) + o.label_smoothing / static_cast<double>(classes);
  if (o.weight.defined()) q = q * to(o.weight.detach(), type);
  Tensor rows = neg(sum(q * log_softmax(to(logits, type), -1), {-1}));
  if (o.reduction == Reduction::none) return rows;
  return o.reduction == Reduction::sum ? sum(rows) : mean(rows);
}

}  // namespace

Tensor cross_entropy(const Tensor& input, const Tensor& target, const CrossEntropyOptions& o) {
  Tensor logits = detail::floating(input);
  if (logits.rank() == 0) throw ShapeError("cross_entropy: the logits must be [.., classes], they are a single number");
  if (!(o.label_smoothing >= 0 && o.label_smoothing <= 1))
    throw ValueError("cross_entropy: label_smoothing must be in [0, 1], it is " + decimal(o.label_smoothing));
  if (o.weight.defined() && o.weight.shape() != Shape{logits.shape().back()})
    throw ShapeError("cross_entropy: the weight must be [" + std::to_string(logits.shape().back()) + "], one number a class; it is " +
                     to_string(o.weight.shape()));
  detail::check_same_device("cross_entropy", logits, target);
  return is_floating(target.dtype()) ? against_probabilities(logits, target, o) : against_classes(logits, target, o);
}

}  // namespace plumb

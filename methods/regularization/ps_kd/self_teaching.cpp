// TF-KD and CS-KD.
#include "methods/regularization/ps_kd/self_teaching.h"

#include <cmath>

#include "ops/index.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/shape.h"
#include "ops/softmax.h"

namespace plumb::methods::ps_kd {

// The teacher's logits are log p, so that its distribution at τ is p^(1/τ), normalised: two numbers.
Tensor teacher_free_loss(const Tensor& logits, const Tensor& labels, const TeacherFreeOptions& o) {
  Tensor plain = cross_entropy(logits, labels);
  int64_t classes = logits.size(1);
  double others = static_cast<double>(classes - 1);
  double high = std::pow(o.sure, 1 / o.temperature), low = std::pow((1 - o.sure) / others, 1 / o.temperature), total = high + others * low;
  Tensor one = to(to(one_hot(labels, classes), logits.dtype()), logits.device());
  Tensor teacher = one * ((high - low) / total) + low / total;
  Tensor pulled = kl_div(logits / o.temperature, teacher, {.logits = true});
  return (1 - o.weight) * plain + o.weight * o.temperature * o.temperature * pulled;
}

Tensor class_wise_loss(const Tensor& logits, const Tensor& partner_logits, const Tensor& labels, const ClassWiseOptions& o) {
  Tensor teacher = softmax(partner_logits.detach(), 1, o.temperature);
  Tensor pulled = kl_div(logits / o.temperature, teacher, {.logits = true});
  return cross_entropy(logits, labels) + o.weight * o.temperature * o.temperature * pulled;
}

}  // namespace plumb::methods::ps_kd

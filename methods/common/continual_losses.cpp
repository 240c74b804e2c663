// Cross-entropies over some of the outputs, and distillation from an earlier network.
#include "methods/common/continual_losses.h"

#include <fmt/format.h>

#include <limits>

#include "engine/core/error.h"
#include "ops/index.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/softmax.h"

namespace plumb::methods {
namespace {

void require_rows(const char* op, const Tensor& logits, const Tensor& labels) {
  if (logits.rank() != 2 || labels.shape() != Shape{logits.size(0)})
    throw ShapeError(fmt::format("{}: logits {} with labels {}", op, to_string(logits.shape()), to_string(labels.shape())));
}

}  // namespace

Tensor ranged_cross_entropy(const Tensor& logits, const Tensor& labels, const Tensor& task, const std::vector<ClassRange>& ranges) {
  require_rows("ranged_cross_entropy", logits, labels);
  require_rows("ranged_cross_entropy", logits, task);
  auto tasks = to_vector<int64_t>(task), classes = to_vector<int64_t>(labels);
  int64_t outputs = logits.size(1);
  Tensor outside = empty({logits.size(0), outputs}, boolean, cpu);
  bool* at = outside.data<bool>();
  for (size_t i = 0; i < tasks.size(); ++i) {
    if (tasks[i] < 0 || tasks[i] >= static_cast<int64_t>(ranges.size()))
      throw IndexError(fmt::format("ranged_cross_entropy: task {} is outside [0, {})", tasks[i], ranges.size()));
    ClassRange r = ranges[static_cast<size_t>(tasks[i])];
    if (classes[i] < r.begin || classes[i] >= r.end)
      throw IndexError(
          fmt::format("ranged_cross_entropy: label {} is outside [{}, {}), the classes of task {}", classes[i], r.begin, r.end, tasks[i]));
    for (int64_t c = 0; c < outputs; ++c) *at++ = c < r.begin || c >= r.end;
  }
  return cross_entropy(masked_fill(logits, to(outside, logits.device()), -std::numeric_limits<double>::infinity()), labels);
}

Tensor knowledge_distillation(const Tensor& logits, const Tensor& teacher, int64_t begin, int64_t end, double temperature) {
  if (!(temperature > 0)) throw ValueError(fmt::format("knowledge_distillation: the temperature is {}, it must be positive", temperature));
  if (begin < 0 || begin >= end) throw ValueError(fmt::format("knowledge_distillation: there are no old classes in [{}, {})", begin, end));
  if (logits.rank() != 2 || teacher.rank() != 2 || logits.size(0) != teacher.size(0) || teacher.size(1) > logits.size(1) ||
      end > teacher.size(1))
    throw ShapeError(fmt::format("knowledge_distillation: a teacher's {} for a student's {}, of which [{}, {}) are old",
                                 to_string(teacher.shape()), to_string(logits.shape()), begin, end));
  Tensor q = softmax(narrow(teacher.detach(), 1, begin, end - begin), 1, temperature);
  Tensor log_p = log_softmax(narrow(logits, 1, begin, end - begin), 1, temperature);
  return neg(mean(sum(q * log_p, {1})));
}

Tensor feature_distillation(const Tensor& features, const Tensor& teacher) {
  if (features.shape() != teacher.shape())
    throw ShapeError(
        fmt::format("feature_distillation: features {}, the teacher's {}", to_string(features.shape()), to_string(teacher.shape())));
  return mse_loss(features, teacher.detach());
}

}  // namespace plumb::methods

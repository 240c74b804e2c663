// Losses of continual learning: classes of several tasks in one batch, and what ties a network to what it was before a task. Those of one
// range of classes: local_logits.h.
#pragma once
#include <cstdint>
#include <vector>

#include "engine/core/tensor.h"
#include "methods/common/continual.h"
#include "methods/common/local_logits.h"

namespace plumb::methods {

/// Mean cross-entropy where example i competes among ranges[task_i] alone: examples of several tasks in one batch. logits [B, C], labels
/// and task i64 [B]. Throws IndexError for a task without a range or a label outside its range, ShapeError where sizes differ.
Tensor ranged_cross_entropy(const Tensor& logits, const Tensor& labels, const Tensor& task, const std::vector<ClassRange>& ranges);

/// mean_x[−Σ_{begin ≤ c < end} q_c log p_c],  q = softmax(teacher/T),  p = softmax(logits/T), both over the range alone, without a factor
/// T² (Li & Hoiem, ECCV 2016, as continual benchmarks use it). The teacher [B, C'], C' ≤ C, gets no gradient. Throws ValueError for T ≤ 0
/// or an empty range (there are no old classes), ShapeError for a teacher with more outputs than the student or a range beyond it.
Tensor knowledge_distillation(const Tensor& logits, const Tensor& teacher, int64_t begin, int64_t end, double temperature = 2);

/// Mean over all elements of (features − teacher's features)², without a gradient to the teacher. Throws ShapeError where shapes differ.
Tensor feature_distillation(const Tensor& features, const Tensor& teacher);

}  // namespace plumb::methods

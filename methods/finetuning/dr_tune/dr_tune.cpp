// The queue of aligned features and their calibration.
#include "methods/finetuning/dr_tune/dr_tune.h"

#include "methods/common/class_labels.h"
#include "methods/common/procrustes.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/matmul.h"
#include "ops/normalize.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::dr_tune {
namespace {

void check_sizes(const Tensor& features, const Tensor& labels, int64_t width) {
  if (features.rank() != 2 || features.size(1) != width || labels.shape() != Shape{features.size(0)})
    throw ShapeError("dr_tune: takes features [K, " + std::to_string(width) + "] and labels [K], got " + to_string(features.shape()) +
                     " and " + to_string(labels.shape()));
}

// [K, C], true where row k is of class c.
Tensor membership(const Tensor& labels, int64_t classes) { return one_hot(labels, classes) != 0; }

Tensor class_counts(const Tensor& member) { return sum(to(member, f64), {0}); }

}  // namespace

AlignedQueue::AlignedQueue(int64_t capacity, int64_t width, int64_t classes, DType dtype)
    : width_(width), classes_(classes), queue_(capacity, 2 * width + 1, dtype) {
  if (classes < 1) throw ValueError("dr_tune: classes must be positive, got " + std::to_string(classes));
}

void AlignedQueue::push(const Tensor& current, const Tensor& pretrained, const Tensor& labels) {
  NoGrad off;
  check_sizes(current, labels, width_);
  check_sizes(pretrained, labels, width_);
  if (labels.size(0) == 0 || capacity() % labels.size(0) != 0)
    throw ValueError("dr_tune: a batch of " + std::to_string(labels.size(0)) + " does not divide the queue's " +
                     std::to_string(capacity()) + " places");
  check_class_labels("dr_tune", labels, classes_);
  queue_.push(cat({current.detach(), pretrained.detach(), to(unsqueeze(labels, 1), current.dtype())}, 1));
}

Triples AlignedQueue::read() const {
  Tensor rows = queue_.read();
  return {contiguous(narrow(rows, 1, 0, width_)), contiguous(narrow(rows, 1, width_, width_)), to(select(rows, 1, 2 * width_), i64)};
}

Tensor class_weighted_centers(const Tensor& features, const Tensor& labels, const Tensor& prototypes) {
  NoGrad off;
  if (prototypes.rank() != 2) throw ShapeError("dr_tune: takes prototypes [C, D], got " + to_string(prototypes.shape()));
  check_sizes(features, labels, prototypes.size(1));
  check_class_labels("dr_tune", labels, prototypes.size(0));
  std::vector<double> lengths = to_vector(norm(prototypes, 2, {1}));
  for (size_t c = 0; c < lengths.size(); ++c)
    if (!(lengths[c] > 0)) throw ValueError("dr_tune: the prototype of class " + std::to_string(c) + " has length 0 and no direction");
  Tensor member = membership(labels, prototypes.size(0)), scores = matmul(features, mT(normalize(prototypes.detach())));
  Tensor largest = amax(where(member, scores, -1e30), {0}, true);
  Tensor e = where(member, exp(clamp_max(scores - largest, 0)), 0.0);  // of members, the largest is 1
  return matmul(mT(e / clamp_min(sum(e, {0}, true), 1e-30)), features);
}

Tensor class_means(const Tensor& features, const Tensor& labels, int64_t classes) {
  if (features.rank() != 2) throw ShapeError("dr_tune: takes features [K, D], got " + to_string(features.shape()));
  check_sizes(features, labels, features.size(1));
  check_class_labels("dr_tune", labels, classes);
  Tensor member = to(membership(labels, classes), features.dtype());
  return matmul(mT(member / clamp_min(sum(member, {0}, true), 1)), features);
}

Tensor calibrate(const Triples& queue, const Tensor& head_weight, double scale, int64_t step, const Calibration& o) {
  NoGrad off;
  if (o.rotate_every < 0) throw ValueError("dr_tune: rotate_every must not be negative, it is " + std::to_string(o.rotate_every));
  Tensor weight = head_weight.detach();
  if (queue.current.shape() != queue.pretrained.shape())
    throw ShapeError("dr_tune: the current features are " + to_string(queue.current.shape()) + ", the pretrained ones " +
                     to_string(queue.pretrained.shape()));
  Tensor a = normalize(queue.pretrained), d = normalize(queue.current);
  Tensor centers = class_weighted_centers(d, queue.labels, weight);  // checks all sizes before anything is done
  if (o.rotate_every > 0 && step % o.rotate_every == 0) {
    a = matmul(a - mean(a, {0}, true), mT(kabsch_rotation(a, d)));
    if (o.restore_mean) a = a + mean(d, {0}, true);
  }
  if (o.shift) a = a + index_select(centers - class_means(a, queue.labels, weight.size(0)), 0, queue.labels);
  return normalize(a) * scale;
}

double mean_norm(const Tensor& rows) {
  NoGrad off;
  return mean(norm(rows.detach(), 2, {1})).item();
}

double center_cosine(const Tensor& a, const Tensor& b, const Tensor& labels, int64_t classes) {
  NoGrad off;
  Tensor present = class_counts(membership(labels, classes)) > 0;
  Tensor cosine = cosine_similarity(class_means(a, labels, classes), class_means(b, labels, classes));
  return mean(masked_select(cosine, present)).item();
}

}  // namespace plumb::methods::dr_tune

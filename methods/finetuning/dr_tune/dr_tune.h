// DR-Tune: Improving Fine-tuning of Pretrained Visual Models by Distribution Regularization with Semantic Calibration (Zhou, Chen, Huang;
// ICCV 2023, arXiv 2308.12058). Fine-tuning that leaves the encoder free and holds the head: it must also classify what the pretrained
// encoder made of the training images, once those features are turned and moved to where the encoder now puts their classes.
//
//   AlignedQueue queue(256, 64, classes);
//   fill(queue, frozen, batches…);                                       // z = z₀: the encoder starts as the pretrained one
//   for each batch:   step_loss(encoder, frozen, head, queue, x, y, step).backward();   sgd.step();
#pragma once
#include <cstdint>
#include <string>

#include "engine/autograd/grad_mode.h"
#include "engine/core/tensor.h"
#include "methods/common/per_sample.h"
#include "ops/join.h"
#include "ops/loss.h"

namespace plumb::methods::dr_tune {

/// Rows that belong together: what the encoder made of images (when they were seen), what the pretrained encoder made of them, and labels.
struct Triples {
  Tensor current, pretrained;  ///< z, z₀ [K, D]
  Tensor labels;               ///< y, i64 [K]
};

/// The newest `capacity` triples, oldest first.
class AlignedQueue {
 public:
  /// Throws ValueError unless the numbers are positive.
  AlignedQueue(int64_t capacity, int64_t width, int64_t classes, DType dtype = f32);
  /// Puts a batch behind the newest; the oldest batch makes room. Throws ShapeError for rows of another width or labels of another number,
  /// ValueError for a batch whose size does not divide the capacity, IndexError for a label outside [0, classes). Nothing is changed then.
  void push(const Tensor& current, const Tensor& pretrained, const Tensor& labels);
  /// The triples there are, in tensors of their own.
  Triples read() const;
  int64_t size() const { return queue_.size(); }
  int64_t capacity() const { return queue_.capacity(); }
  bool full() const { return size() == capacity(); }

 private:
  int64_t width_, classes_;
  FeatureQueue queue_;  // z, z₀ and the label side by side
};

struct Calibration {
  int64_t rotate_every = 10;  ///< in which steps of an epoch features are turned: 0, 10, 20, …; 0: never
  bool shift = true;          ///< classes are moved to their current centres
  bool restore_mean = false;  ///< turned features get the current mean, not 0: of no effect where the classes are moved
};

/// d_c = Σ_{k: y_k = c} w_k D_k with w = softmax over those k of ⟨D_k, W_c / ‖W_c‖⟩: features D [K, D], prototypes W [C, D] → [C, D], rows
/// of zeros for classes without members. Throws ShapeError for sizes that do not fit, IndexError for a label outside, ValueError for a
/// prototype of length 0.
Tensor class_weighted_centers(const Tensor& features, const Tensor& labels, const Tensor& prototypes);
/// The plain means of each class's rows, [classes, D]; zeros for classes without members.
Tensor class_means(const Tensor& features, const Tensor& labels, int64_t classes);

/// The pretrained features of the queue, calibrated: all rows made of length 1 (A of z₀, D of z), then
///   turned (where `step` is one of rotate_every's):  A ← R (A − Ā),  R = kabsch_rotation(A, D)
///   moved:   A_k ← A_k + d_c − m_c,   c = y_k, m_c the mean of class c's A, d_c = class_weighted_centers(D, y, W)
///   scaled:  A_k / ‖A_k‖ · scale
/// Outside the graph. Throws as class_weighted_centers.
Tensor calibrate(const Triples& queue, const Tensor& head_weight, double scale, int64_t step, const Calibration& options = {});

/// The mean cross-entropy over B rows of the encoder and K calibrated ones: B/(B+K) CE(z) + K/(B+K) CE(Zc). Gradients of the K rows reach
/// the head alone. Without calibrated rows (undefined or none) it is the plain cross-entropy. Labels of −100 are not counted.
template <typename Head>
Tensor joint_loss(const Head& head, const Tensor& z, const Tensor& labels, const Tensor& calibrated, const Tensor& calibrated_labels) {
  if (!calibrated.defined() || calibrated.size(0) == 0) return cross_entropy(head(z), labels);
  return cross_entropy(head(cat({z, calibrated.detach()})), cat({labels, calibrated_labels}));
}

/// The mean length of the rows.
double mean_norm(const Tensor& rows);

/// Before training: pretrained features of one batch, as both z and z₀.
template <typename Frozen>
void fill(AlignedQueue& queue, const Frozen& frozen, const Tensor& x, const Tensor& labels) {
  NoGrad off;
  Tensor z0 = frozen(x);
  queue.push(z0, z0, labels);
}

/// One step's loss; the batch enters the queue after it was calibrated. encoder(x) → z [B, D]; frozen: the pretrained encoder, in
/// evaluation mode and outside the graph (FrozenSnapshot, methods/common/teacher.h); head: a linear layer with `weight` [C, D]; step: its
/// number within the epoch.
template <typename Encoder, typename Frozen, typename Head>
Tensor step_loss(const Encoder& encoder, const Frozen& frozen, const Head& head, AlignedQueue& queue, const Tensor& x, const Tensor& labels,
                 int64_t step, const Calibration& options = {}) {
  Tensor z = encoder(x), z0;
  {
    NoGrad off;
    z0 = frozen(x);
  }
  Triples known = queue.read();
  Tensor calibrated = known.labels.size(0) == 0 ? Tensor() : calibrate(known, head.weight, mean_norm(z), step, options);
  Tensor loss = joint_loss(head, z, labels, calibrated, known.labels);
  queue.push(z.detach(), z0, labels);
  return loss;
}

/// The mean over classes with members of the cosine between the class's centre of a and of b, both [K, D].
double center_cosine(const Tensor& a, const Tensor& b, const Tensor& labels, int64_t classes);

}  // namespace plumb::methods::dr_tune

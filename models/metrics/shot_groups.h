// Quality by how much there was to learn from: accuracies of classes, and errors of targets, with many, a medium number, and few training
// examples.
#pragma once
#include <vector>

#include "engine/core/tensor.h"
#include "engine/data/long_tail.h"

namespace plumb::metrics {

struct ShotThresholds {
  int64_t many_above = 100;  ///< many: more training examples than this
  int64_t few_below = 20;    ///< few: fewer than this
};

/// Shares in [0, 1]; NaN for a group without test examples.
struct ShotAccuracy {
  double all = 0, many = 0, medium = 0, few = 0;
};

/// The accuracy of all examples and of those whose class had many, a medium number or few training examples, of which `counts` has the
/// number for each class (Liu et al., CVPR 2019). predicted and labels i64 [n]. Throws ShapeError or IndexError as ConfusionMatrix::add,
/// ValueError for no examples.
ShotAccuracy shot_accuracy(const Tensor& predicted, const Tensor& labels, const std::vector<int64_t>& counts,
                           ShotThresholds thresholds = {});
ShotAccuracy shot_accuracy(const Tensor& predicted, const Tensor& labels, const data::ShotGroups& groups, int64_t classes);

/// Of absolute errors; NaN for a group without test examples.
struct Errors {
  double mean = 0;       ///< MAE
  double geometric = 0;  ///< exp of the mean logarithm; an error below 1e-10 counts as that
};
struct ShotErrors {
  Errors all, many, medium, few;
};

/// Errors of a regression by the number of training targets in the same bin ⌊target / bin_width⌋ (Yang et al., ICML 2021). predictions and
/// targets floating [n], train_targets [m]. Throws ShapeError unless the sizes fit, ValueError for no examples, a NaN, or a bin_width
/// that is not positive.
ShotErrors shot_errors(const Tensor& predictions, const Tensor& targets, const Tensor& train_targets, double bin_width = 1,
                       ShotThresholds thresholds = {});

}  // namespace plumb::metrics

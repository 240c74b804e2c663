// Stage two of OVOR: backbone and prompts stay as they are, and the head alone is trained on stored features and virtual outliers.
#pragma once
#include "methods/common/continual.h"
#include "methods/continual/ovor/virtual_outliers.h"
#include "models/nn/linear.h"
#include "models/optim/optimizer.h"
#include "models/optim/schedule.h"

namespace plumb::methods::ovor {

struct VorOptions {
  double lambda = 0.1;  ///< 0: the plain cross-entropy; no outliers are made
  Margins margins = {};
  bool inliers = true, outliers = true;  ///< which of the two hinges count
  OutlierOptions sampler = {};
  int64_t batch = 128;
  /// Throws ValueError for what makes no training.
  void check() const;
};

/// local_cross_entropy(z φᵀ, y) + λ · energy_hinge_loss(E(z), E(v)), energies over the task's logits. `outliers` may be undefined.
Tensor vor_loss(const nn::Linear& head, const Tensor& features, const Tensor& labels, const Tensor& outliers, ClassRange classes,
                const VorOptions& options);

/// One epoch. New outliers are made from all of the task's features [n, d]; inliers go in shuffled batches, outliers in as many of
/// max(1, ⌊outliers / batches⌋) from the farthest out, unshuffled; what is left over is not used, and batches behind the last outlier have
/// none. Only the head moves, and of it only rows [begin, end) have a gradient that is not 0. Throws ValueError for a class of the range
/// without examples, IndexError for a label outside it.
void vor_epoch(nn::Linear& head, const Tensor& features, const Tensor& labels, ClassRange classes, optim::Optimizer& optimizer,
               const VorOptions& options, Generator& generator);

/// cos(99π e / (200 (K − 1))) for epoch e = 0 … K − 1 of both stages together; 1 for K = 1. A task starts anew. Throws ValueError for K
/// < 1.
optim::Schedule task_schedule(int64_t epochs);

}  // namespace plumb::methods::ovor

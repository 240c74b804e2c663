// Running statistics of batch norm, estimated anew: after weights were quantised, pruned or averaged, the old ones are wrong.
#pragma once
#include <functional>
#include <vector>

#include "models/nn/module.h"

namespace plumb::nn {

/// Starts the running statistics of every BatchNorm in `module` from 0 and 1 and passes `batches` through `forward` in training mode,
/// without gradients: with BatchNormOptions::cumulative they are then the plain means over the batches, else their moving averages. Weights
/// stay, and so do the training modes of `module` and its children. Throws ValueError for no batches.
void recalibrate_batch_norm(Module& module, const std::function<Tensor(const Tensor&)>& forward, const std::vector<Tensor>& batches);

}  // namespace plumb::nn

// Gradient clipping, over all parameters at once.
#pragma once
#include <vector>

#include "engine/core/tensor.h"

namespace plumb::optim {

/// Scales all gradients by max_norm / norm if their norm over all parameters together exceeds max_norm (Pascanu et al. 2013), and returns
/// that norm as it was. A norm that is not finite is returned and nothing is scaled, so the caller can see it and skip the step.
/// Parameters without a gradient do not count. Throws ValueError unless max_norm > 0.
double clip_grad_norm(const std::vector<Tensor>& parameters, double max_norm);
/// Limits each element of each gradient to [−limit, limit]. Throws ValueError unless limit > 0.
void clip_grad_value(const std::vector<Tensor>& parameters, double limit);

}  // namespace plumb::optim

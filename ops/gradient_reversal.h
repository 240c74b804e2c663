// Gradient reversal, for adversarial training of features.
#pragma once
#include "engine/core/tensor.h"

namespace plumb {

/// x, with derivative −λ dy (Ganin & Lempitsky 2015).
Tensor gradient_reversal(const Tensor& x, double lambda = 1);

}  // namespace plumb

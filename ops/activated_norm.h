// Norms together with the activation that follows them: one operation where a GPU saves passes over the images by it, else the two.
#pragma once
#include "engine/core/tensor.h"

namespace plumb {

/// silu(group_norm(x, groups, weight, bias, eps)). On a GPU, images with channels last are normalised and activated in one pass, and
/// backward computes the norm's result again instead of keeping it. Throws as group_norm.
Tensor group_norm_silu(const Tensor& x, int64_t groups, const Tensor& weight = {}, const Tensor& bias = {}, double eps = 1e-5);

}  // namespace plumb

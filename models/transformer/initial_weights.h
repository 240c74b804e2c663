// Where the weights of transformers start.
#pragma once
#include <string_view>
#include <vector>

#include "models/nn/module.h"

namespace plumb::transformer {

/// 0.02 · √(768 / width): GPT-2's standard deviation at its width, and products of the same size at others.
double initial_deviation(int64_t width);

/// Draws all matrices of `model` from N(0, deviation²), those whose name ends in one of `into_residual` from N(0, deviation² / (2 layers)),
/// so that the residual stream does not grow with depth; biases become 0, norms stay 1. A tensor under two names is drawn once.
void draw_weights(nn::Module& model, double deviation, int64_t layers = 0, const std::vector<std::string_view>& into_residual = {});

}  // namespace plumb::transformer

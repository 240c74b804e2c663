// Several objectives at once: their gradients on shared parameters, and ways to make one direction of them.
#pragma once
#include <vector>

#include "engine/core/generator.h"
#include "engine/core/tensor.h"

namespace plumb::optim {

/// One gradient for each parameter.
using GradientList = std::vector<Tensor>;

/// The gradient of each loss on the parameters; zeros where a loss does not depend on one. grad() is left alone, the graph is kept.
std::vector<GradientList> objective_gradients(const std::vector<Tensor>& losses, const std::vector<Tensor>& parameters);
/// Σ_k w_k g_k. Throws ShapeError unless there is a weight for each.
GradientList weighted_sum(const std::vector<GradientList>& objectives, const std::vector<double>& weights);
/// PCGrad (Yu et al., NeurIPS 2020): for each objective i and the others j in random order, if ⟨g_i, g_j⟩ < 0 then
/// g_i ← g_i − ⟨g_i, g_j⟩/|g_j|² g_j, with g_j as it was; then the sum over i.
GradientList pcgrad(const std::vector<GradientList>& objectives, Generator& generator = default_generator());
/// MGDA (Sener & Koltun, NeurIPS 2018): the convex combination of the gradients that is shortest. Where it is not zero, every objective
/// falls along it. `mgda_weights` gives the w ≥ 0, Σ w = 1.
GradientList mgda(const std::vector<GradientList>& objectives);
std::vector<double> mgda_weights(const std::vector<GradientList>& objectives);
/// The same from the matrix of inner products ⟨g_i, g_j⟩ (n × n, row by row): argmin_w wᵀ M w on the simplex.
std::vector<double> min_norm_weights(const std::vector<double>& products, size_t n);

struct AdaptiveWeightOptions {
  double eps = 1e-4;
  double low = 0, high = 1e4;  ///< the weight is kept in [low, high]
};
/// ‖∂first/∂w‖ / (‖∂second/∂w‖ + ε), kept in [low, high]: what `second` is multiplied by so that both losses pull alike on `parameter`, the
/// weight of a network's last layer (Esser et al., CVPR 2021). A loss that does not depend on it has norm 0. grad() is left alone, the
/// graphs are kept. Throws ValueError unless eps > 0 and low ≤ high.
double adaptive_weight(const Tensor& first, const Tensor& second, const Tensor& parameter, AdaptiveWeightOptions options = {});

}  // namespace plumb::optim

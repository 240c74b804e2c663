// Combining the gradients of several objectives.
#include "models/optim/objectives.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "engine/autograd/backward.h"
#include "models/optim/parameters.h"

namespace plumb::optim {

std::vector<GradientList> objective_gradients(const std::vector<Tensor>& losses, const std::vector<Tensor>& parameters) {
  std::vector<GradientList> all;
  for (const Tensor& loss : losses) {
    all.push_back(grad({loss}, parameters, {.retain_graph = true, .allow_unused = true}));
    for (size_t i = 0; i < parameters.size(); ++i)
      if (!all.back()[i].defined()) all.back()[i] = plumb::zeros_like(parameters[i]);
  }
  return all;
}

GradientList weighted_sum(const std::vector<GradientList>& objectives, const std::vector<double>& weights) {
  if (objectives.empty() || objectives.size() != weights.size())
    throw ShapeError("weighted_sum: " + std::to_string(objectives.size()) + " objectives, " + std::to_string(weights.size()) + " weights");
  GradientList total = zeros_like(objectives[0]);
  for (size_t k = 0; k < weights.size(); ++k) axpy(weights[k], objectives[k], total);
  return total;
}

GradientList pcgrad(const std::vector<GradientList>& objectives, Generator& generator) {
  if (objectives.empty()) throw ValueError("pcgrad: there are no objectives");
  GradientList total = zeros_like(objectives[0]);
  for (size_t i = 0; i < objectives.size(); ++i) {
    std::vector<size_t> order(objectives.size());
    std::iota(order.begin(), order.end(), size_t{0});
    for (size_t k = order.size(); k > 1; --k) std::swap(order[k - 1], order[generator.next_below(k)]);
    GradientList g = clone(objectives[i]);
    for (size_t j : order) {
      double along = j == i ? 0 : dot(g, objectives[j]);
      if (along < 0) axpy(-along / dot(objectives[j], objectives[j]), objectives[j], g);
    }
    axpy(1, g, total);
  }
  return total;
}

// Two objectives in closed form; more by pairwise Frank–Wolfe, which moves weight from the worst vertex to the best with an exact step.
// The gap wᵀMw − min_j (Mw)_j bounds how far from the minimum wᵀMw is.
std::vector<double> min_norm_weights(const std::vector<double>& m, size_t n) {
  if (n == 0 || m.size() != n * n)
    throw ShapeError("min_norm_weights: needs n·n products, got " + std::to_string(m.size()) + " for n = " + std::to_string(n));
  std::vector<double> w(n, 1 / static_cast<double>(n)), mw(n);
  for (int iteration = 0; iteration < 10000; ++iteration) {
    double value = 0;
    for (size_t i = 0; i < n; ++i) {
      mw[i] = 0;
      for (size_t j = 0; j < n; ++j) mw[i] += m[i * n + j] * w[j];
      value += w[i] * mw[i];
    }
    size_t best = 0, worst = n;
    for (size_t i = 0; i < n; ++i) {
      if (mw[i] < mw[best]) best = i;
      if (w[i] > 0 && (worst == n || mw[i] > mw[worst])) worst = i;
    }
    if (value - mw[best] <= 1e-14 * std::abs(value) || best == worst) break;
    double curvature = m[best * n + best] - 2 * m[best * n + worst] + m[worst * n + worst];
    double step = curvature > 0 ? std::min(w[worst], (mw[worst] - mw[best]) / curvature) : w[worst];
    w[best] += step;
    w[worst] = step == w[worst] ? 0 : w[worst] - step;
  }
  return w;
}

std::vector<double> mgda_weights(const std::vector<GradientList>& objectives) {
  size_t n = objectives.size();
  std::vector<double> products(n * n);
  for (size_t i = 0; i < n; ++i)
    for (size_t j = 0; j <= i; ++j) products[i * n + j] = products[j * n + i] = dot(objectives[i], objectives[j]);
  return min_norm_weights(products, n);
}

GradientList mgda(const std::vector<GradientList>& objectives) { return weighted_sum(objectives, mgda_weights(objectives)); }

double adaptive_weight(const Tensor& first, const Tensor& second, const Tensor& parameter, AdaptiveWeightOptions o) {
  if (!(o.eps > 0) || !(o.low <= o.high))
    throw ValueError("adaptive_weight: needs eps > 0 and low <= high, got " + decimal(o.eps) + ", " + decimal(o.low) +
                     " and " + decimal(o.high));
  auto slope = [&](const Tensor& loss) { return norm(objective_gradients({loss}, {parameter})[0]); };
  return std::clamp(slope(first) / (slope(second) + o.eps), o.low, o.high);
}

}  // namespace plumb::optim

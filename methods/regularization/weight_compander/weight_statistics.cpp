// Statistics of weights in f64 on the host, and changes of them in place.
#include "methods/regularization/weight_compander/weight_statistics.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "engine/autograd/grad_mode.h"
#include "engine/core/error.h"
#include "methods/regularization/weight_compander/weight_compander.h"
#include "ops/pointwise.h"
#include "ops/shape.h"

namespace plumb::methods::weight_compander {
namespace {

std::vector<nn::WeightLayer*> layers_of(const nn::Module& model) {
  std::vector<nn::WeightLayer*> layers;
  for (auto& [name, module] : model.named_modules())
    if (auto* layer = dynamic_cast<nn::WeightLayer*>(module)) layers.push_back(layer);
  if (layers.empty()) throw ValueError("weight_statistics: the model has no linear or convolution layer");
  return layers;
}

std::vector<nn::WeightLayer*> own_layers(nn::Module& model, const char* op) {
  auto layers = layers_of(model);
  for (const nn::WeightLayer* l : layers)
    if (!l->weight.is_leaf() || !l->weight.requires_grad())
      throw ValueError(std::string(op) + ": the weights are computed from others; bake them first");
  return layers;
}

double deviation(const std::vector<double>& w) {
  double n = static_cast<double>(w.size()), mean = std::accumulate(w.begin(), w.end(), 0.0) / n, squares = 0;
  for (double x : w) squares += (x - mean) * (x - mean);
  return std::sqrt(squares / n);
}

// −Σ p ln p / ln n over one row; of a row of zeros 1, since none of its weights stands out.
double evenness(const double* row, size_t n) {
  double total = 0, entropy = 0;
  for (size_t i = 0; i < n; ++i) total += std::abs(row[i]);
  if (n < 2 || total == 0) return 1;
  for (size_t i = 0; i < n; ++i)
    if (double p = std::abs(row[i]) / total; p > 0) entropy -= p * std::log(p);
  return entropy / std::log(static_cast<double>(n));
}

}  // namespace

WeightStats weight_statistics(const nn::Module& model) {
  WeightStats stats;
  double count = 0, neurons = 0;
  for (const nn::WeightLayer* layer : layers_of(model)) {
    std::vector<double> w = to_vector(layer->weight.detach());
    auto rows = static_cast<size_t>(layer->weight.size(0));
    double scale = he_scale(layer->weight.shape()), small = 0.1 * deviation(w);
    for (double x : w) {
      stats.largest = std::max(stats.largest, std::abs(x) / scale);
      stats.near_zero += std::abs(x) < small ? 1 : 0;
      auto bin = static_cast<int64_t>(std::floor((std::clamp(x / scale, -4.0, 4.0) + 4) / 8 * kWeightBins));
      ++stats.histogram[static_cast<size_t>(std::clamp<int64_t>(bin, 0, kWeightBins - 1))];
    }
    for (size_t r = 0; r < rows; ++r) stats.democracy += evenness(w.data() + r * (w.size() / rows), w.size() / rows);
    count += static_cast<double>(w.size());
    neurons += static_cast<double>(rows);
  }
  stats.near_zero /= count;
  stats.democracy /= neurons;
  for (double& share : stats.histogram) share /= count;
  return stats;
}

void clip_weights(nn::Module& model, double limit) {
  if (!(limit > 0)) throw ValueError(fmt::format("clip_weights: the limit must be positive, it is {}", limit));
  NoGrad off;
  for (nn::WeightLayer* layer : own_layers(model, "clip_weights")) {
    double most = limit * he_scale(layer->weight.shape());
    copy_data(clamp(layer->weight.detach(), -most, most), layer->weight);
  }
}

void zero_largest(nn::Module& model, double share) {
  if (!(share >= 0 && share <= 1)) throw ValueError(fmt::format("zero_largest: the share must lie in [0, 1], it is {}", share));
  NoGrad off;
  for (nn::WeightLayer* layer : own_layers(model, "zero_largest")) {
    std::vector<double> w = to_vector(layer->weight);
    std::vector<size_t> order(w.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::ranges::stable_sort(order, std::ranges::greater{}, [&](size_t i) { return std::abs(w[i]); });
    for (size_t k = 0; k < static_cast<size_t>(share * static_cast<double>(w.size())); ++k) w[order[k]] = 0;
    copy_data(to(to(from_vector(w, layer->weight.shape()), layer->weight.dtype()), layer->weight.device()), layer->weight);
  }
}

}  // namespace plumb::methods::weight_compander

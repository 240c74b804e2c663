// The predictor of a form's accuracy.
#include <algorithm>
#include <string>

#include "engine/autograd/grad_mode.h"
#include "engine/data/dataset.h"
#include "methods/efficiency/eq_net/eq_net.h"
#include "models/optim/adam.h"
#include "ops/activation.h"
#include "ops/index.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/shape.h"

namespace plumb::methods::eq_net {
namespace {

constexpr int64_t kConditions = 6, kWidths = quantize::kMostBits - quantize::kLeastBits + 1;

Tensor feature_rows(const std::vector<quantize::NetForm>& forms) {
  std::vector<float> all;
  for (const quantize::NetForm& form : forms) {
    std::vector<float> row = form_features(form);
    all.insert(all.end(), row.begin(), row.end());
  }
  return from_vector(all, {static_cast<int64_t>(forms.size()), static_cast<int64_t>(all.size() / std::max<size_t>(1, forms.size()))});
}

}  // namespace

std::vector<float> form_features(const quantize::NetForm& form) {
  if (form.size() < 3)
    throw ValueError("eq_net: between the first and the last of " + std::to_string(form.size()) + " layers there is none");
  auto layers = static_cast<int64_t>(form.size());
  std::vector<float> x(static_cast<size_t>(kConditions + 2 * kWidths * layers), 0.0f);
  const quantize::LayerForm& condition = form[1];
  x[condition.per_channel ? 0 : 1] = 1;
  if (condition.weight_symmetric) x[2] = 1;
  if (condition.activation_symmetric) x[4] = 1;
  for (int64_t i = 1; i + 1 < layers; ++i) {
    const quantize::LayerForm& f = form[static_cast<size_t>(i)];
    f.check();
    x[static_cast<size_t>(kConditions + kWidths * i + f.weight_bits - quantize::kLeastBits)] = 1;
    x[static_cast<size_t>(kConditions + kWidths * (layers + i) + f.activation_bits - quantize::kLeastBits)] = 1;
  }
  return x;
}

AccuracyPredictor::AccuracyPredictor(int64_t layers, const PredictorOptions& o)
    : options_(o), output_(this, "output", o.width, 1, {.bias = false}) {
  int64_t inputs = kConditions + 2 * kWidths * layers;
  for (int64_t i = 0; i < o.hidden; ++i) hidden_.emplace_back(i == 0 ? inputs : o.width, o.width);
}

Tensor AccuracyPredictor::predicted(const Tensor& features) const {
  Tensor h = features;
  for (const nn::Linear& layer : hidden_) h = relu(layer(h));
  return flatten(output_(h));
}

double AccuracyPredictor::fit(const std::vector<quantize::NetForm>& forms, const std::vector<double>& accuracies, Generator& g) {
  if (forms.empty()) throw ValueError("eq_net: the predictor has nothing to learn from");
  if (forms.size() != accuracies.size())
    throw ValueError("eq_net: " + std::to_string(accuracies.size()) + " accuracies for " + std::to_string(forms.size()) + " forms");
  base_ = 0;
  for (double a : accuracies) base_ += a / static_cast<double>(accuracies.size());
  std::vector<float> targets;
  for (double a : accuracies) targets.push_back(static_cast<float>(a - base_));
  Tensor x = feature_rows(forms), y = from_vector(targets);
  optim::Adam adam(parameters(), {.lr = options_.lr, .weight_decay = options_.weight_decay});
  double last = 0;
  for (int64_t epoch = 0; epoch < options_.epochs; ++epoch) {
    std::vector<int64_t> order = data::random_order(x.size(0), g);
    last = 0;
    for (size_t from = 0; from < order.size(); from += static_cast<size_t>(options_.batch)) {
      size_t to = std::min(order.size(), from + static_cast<size_t>(options_.batch));
      Tensor at = from_vector(
          std::vector<int64_t>(order.begin() + static_cast<std::ptrdiff_t>(from), order.begin() + static_cast<std::ptrdiff_t>(to)));
      adam.zero_grad();
      Tensor loss = smooth_l1_loss(predicted(index_select(x, 0, at)), index_select(y, 0, at));
      loss.backward();
      adam.step();
      last += loss.item() * static_cast<double>(to - from) / static_cast<double>(order.size());
    }
  }
  return last;
}

std::vector<double> AccuracyPredictor::operator()(const std::vector<quantize::NetForm>& forms) const {
  if (forms.empty()) return {};
  NoGrad off;
  std::vector<double> out = to_vector(predicted(feature_rows(forms)));
  for (double& a : out) a += base_;
  return out;
}

}  // namespace plumb::methods::eq_net

// The perceptron with a noise level.
#include "models/diffusion/time_mlp.h"

#include <cmath>
#include <string>

#include "models/nn/init.h"
#include "ops/activation.h"
#include "ops/elementary.h"
#include "ops/join.h"
#include "ops/pointwise.h"
#include "ops/shape.h"

namespace plumb::diffusion {
namespace {

constexpr int64_t kWaves = 9;

void start(nn::Linear& layer, double scale = 1) {
  nn::init::normal(layer.weight, 0, scale / std::sqrt(static_cast<double>(layer.weight.size(1))));
  if (layer.bias.defined()) nn::init::zeros(layer.bias);
}

const TimeMlpConfig& checked(const TimeMlpConfig& c) {
  c.check();
  return c;
}

}  // namespace

void TimeMlpConfig::check() const {
  if (features < 1 || hidden.empty())
    throw ValueError("time_mlp: needs features and a hidden layer, got " + std::to_string(features) + " and " +
                     std::to_string(hidden.size()));
  if (condition < 0) throw ValueError("time_mlp: a condition has no negative number of numbers: " + std::to_string(condition));
  for (int64_t width : hidden)
    if (width < 1) throw ValueError("time_mlp: hidden widths must be at least 1, one is " + std::to_string(width));
}

Tensor level_waves(const Tensor& noise) {
  if (noise.rank() != 1) throw ShapeError("level_waves: takes one number an example, got " + to_string(noise.shape()));
  Tensor c = unsqueeze(noise, 1), angle = c * to(to(tensor({1.0, 2.0, 4.0, 8.0}), noise.dtype()), noise.device());
  return cat({sin(angle), cos(angle), c}, 1);
}

TimeMlp::TimeMlp(const TimeMlpConfig& c)
    : config_(checked(c)),
      input_(this, "input", c.features + kWaves, c.hidden[0]),
      hidden_(this, "hidden"),
      output_(this, "output", c.hidden.back(), c.features),
      dropout_(this, "dropout", c.dropout),
      norms_(this, "norms"),
      non_scaling_norms_(this, "non_scaling_norms") {
  start(input_);
  for (size_t i = 0; i + 1 < c.hidden.size(); ++i) {
    hidden_.emplace_back(c.hidden[i], c.hidden[i + 1]);
    start(hidden_.back());
  }
  start(output_, 0.1);
  for (int64_t width : c.hidden) {
    if (c.norm == HiddenNorm::layer) norms_.emplace_back(Shape{width});
    if (c.norm == HiddenNorm::non_scaling) non_scaling_norms_.emplace_back(Shape{width});
  }
  if (c.second_time) {
    second_.emplace(this, "second", kWaves, c.hidden[0], nn::LinearOptions{.bias = false});
    nn::init::zeros(second_->weight);
  }
  if (c.condition > 0) {
    condition_.emplace(this, "condition", c.condition, c.hidden[0], nn::LinearOptions{.bias = false});
    start(*condition_);
  }
}

Tensor TimeMlp::activated(const Tensor& y, size_t layer) const {
  switch (config_.norm) {
    case HiddenNorm::layer:
      return dropout_(silu(norms_[layer](y)));
    case HiddenNorm::non_scaling:
      return dropout_(silu(non_scaling_norms_[layer](y)));
    default:
      return dropout_(silu(y));
  }
}

Tensor TimeMlp::last_hidden(const Tensor& input, const Tensor& noise, const LayerHook& after, const Tensor& second,
                            const Tensor& condition) const {
  Tensor x = flatten(input, 1);
  if (x.size(1) != config_.features)
    throw ShapeError("time_mlp: takes " + std::to_string(config_.features) + " numbers an example, got " + to_string(input.shape()));
  if (second.defined() != config_.second_time)
    throw ValueError(second.defined() ? "time_mlp: this network knows no second time" : "time_mlp: the second time is missing");
  if (condition.defined() != (config_.condition > 0))
    throw ValueError(condition.defined() ? "time_mlp: this network knows no condition" : "time_mlp: the condition is missing");
  if (condition_ && (condition.rank() < 2 || condition.numel() != condition.size(0) * config_.condition || condition.size(0) != x.size(0)))
    throw ShapeError("time_mlp: takes " + std::to_string(config_.condition) + " numbers of a condition for each of " +
                     std::to_string(x.size(0)) + " examples, got " + to_string(condition.shape()));
  Tensor y = input_(cat({x, level_waves(noise)}, 1));
  if (second_) y = y + (*second_)(level_waves(second));
  if (condition_) y = y + (*condition_)(flatten(condition, 1));
  auto layer = [&](size_t place, const Tensor& before) {
    Tensor h = activated(before, place);
    return after ? after(place, h) : h;
  };
  y = layer(0, y);
  for (size_t i = 0; i < hidden_.size(); ++i) y = layer(i + 1, hidden_[i](y));
  return y;
}

Tensor TimeMlp::forward(const Tensor& x, const Tensor& noise, const LayerHook& after, const Tensor& second, const Tensor& condition) const {
  return reshape(output_(last_hidden(x, noise, after, second, condition)), x.shape());
}

}  // namespace plumb::diffusion

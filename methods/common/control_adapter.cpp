// The correcting network.
#include "methods/common/control_adapter.h"

#include <cmath>
#include <string>

#include "engine/autograd/grad_mode.h"
#include "models/nn/init.h"
#include "ops/activation.h"
#include "ops/join.h"
#include "ops/pointwise.h"
#include "ops/shape.h"

namespace plumb::methods {

void ControlAdapterConfig::check() const {
  if (noise < 1 || control < 1 || outputs < 1)
    throw ValueError("control_adapter: needs noise, a control and outputs, got " + std::to_string(noise) + ", " + std::to_string(control) +
                     " and " + std::to_string(outputs));
  for (int64_t width : hidden)
    if (width < 1) throw ValueError("control_adapter: hidden widths must be at least 1, one is " + std::to_string(width));
}

ControlAdapter::ControlAdapter(const ControlAdapterConfig& config) : config_((config.check(), config)), layers_(this, "layers") {
  int64_t in = config.noise + config.control + (config.sees_output ? config.outputs : 0);
  for (int64_t width : config.hidden) {
    nn::Linear& layer = layers_.emplace_back(in, width);
    nn::init::normal(layer.weight, 0, std::sqrt(2.0 / static_cast<double>(in)));
    nn::init::zeros(layer.bias);
    in = width;
  }
  nn::Linear& last = layers_.emplace_back(in, config.outputs);
  nn::init::zeros(last.weight);
  nn::init::zeros(last.bias);
}

Tensor ControlAdapter::operator()(const Tensor& z, const Tensor& control, const Tensor& x) const {
  auto rows = [&](const Tensor& t, int64_t numbers, const char* what) {
    if (t.rank() < 2 || t.size(0) != z.size(0) || t.numel() != t.size(0) * numbers)
      throw ShapeError(std::string("control_adapter: ") + what + " must be [B, " + std::to_string(numbers) +
                       "] with B = " + std::to_string(z.size(0)) + ", it is " + to_string(t.shape()));
    return flatten(t, 1);
  };
  std::vector<Tensor> inputs{rows(z, config_.noise, "noise"), rows(control, config_.control, "the control")};
  Tensor output = rows(x, config_.outputs, "the generator's output");
  if (config_.sees_output) inputs.push_back(output);
  Tensor y = cat(inputs, 1);
  for (size_t i = 0; i + 1 < layers_.size(); ++i) y = silu(layers_[i](y));
  return reshape(layers_[layers_.size() - 1](y), x.shape());
}

ControlledGenerator adapted(OneStepGenerator frozen, const ControlAdapter& adapter) {
  return [frozen = std::move(frozen), &adapter](const Tensor& z, const Tensor& control) {
    Tensor x;
    {
      NoGrad off;
      x = frozen(z);
    }
    return x + adapter(z, control, x);
  };
}

}  // namespace plumb::methods

// The U-Net with a noise level.
#include "models/diffusion/time_unet.h"

#include <algorithm>

#include "engine/autograd/grad_mode.h"
#include "models/diffusion/time_mlp.h"
#include "models/nn/init.h"
#include "models/nn/weight_layer.h"
#include "ops/join.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::diffusion {
namespace {

constexpr int64_t kWaves = 9;  // of level_waves

}  // namespace

TimeUnet::TimeUnet(const unet::UnetConfig& config, bool second_time) : unet_(this, "unet", config) {
  if (!second_time) return;
  second_.emplace(this, "second", kWaves, config.embedding_width(), nn::LinearOptions{.bias = false});
  nn::init::zeros(second_->weight);
}

unet::UnetInputs TimeUnet::inputs(const Tensor& second) const {
  if (second.defined() != second_.has_value())
    throw ValueError(second.defined() ? "time_unet: this network knows no second time" : "time_unet: the second time is missing");
  unet::UnetInputs inputs;
  if (second_) inputs.embedding = (*second_)(level_waves(second));
  return inputs;
}

Tensor TimeUnet::operator()(const Tensor& x, const Tensor& noise, const Tensor& second) const {
  if (grad_enabled() || x.size(0) <= kPart) return unet_(x, noise, inputs(second));
  std::vector<Tensor> parts;
  for (int64_t first = 0; first < x.size(0); first += kPart) {
    int64_t n = std::min(kPart, x.size(0) - first);
    parts.push_back(
        unet_(narrow(x, 0, first, n), narrow(noise, 0, first, n), inputs(second.defined() ? narrow(second, 0, first, n) : second)));
  }
  return cat(parts);
}

Tensor TimeUnet::features(const Tensor& x, const Tensor& noise, const Tensor& second) const {
  size_t last = unet_.stages().size() - 1;
  Tensor seen;
  unet_.forward(x, noise, inputs(second), [&](size_t place, const Tensor& y) {
    if (place == last) seen = y;
    return y;
  });
  return mean(seen, {2, 3});
}

std::vector<std::string> TimeUnet::decoder_layers() const {
  std::vector<std::string> names;
  for (auto& [name, module] : named_modules())
    if (name.starts_with("unet.output_blocks.") && dynamic_cast<nn::WeightLayer*>(module)) names.push_back(name);
  return names;
}

Tensor TimeUnet::last_weight() const {
  Tensor last;
  for (const auto& [name, weight] : unet_.named_parameters())
    if (name == "out.2.weight") last = weight;
  return last;
}

}  // namespace plumb::diffusion

// Perceptrons against each other.
#include "models/gan/mlp_gan.h"

#include <string>

#include "engine/core/error.h"
#include "ops/elementary.h"
#include "ops/pointwise.h"
#include "ops/shape.h"

namespace plumb::gan {

void MlpGanConfig::check() const {
  if (features < 1 || latent < 1)
    throw ConfigError("mlp_gan: needs features and latent numbers, got " + std::to_string(features) + " and " + std::to_string(latent));
  if (!(low <= high)) throw ConfigError("mlp_gan: the range [" + decimal(low) + ", " + decimal(high) + "] is empty");
}

static mlp::MlpConfig layers(int64_t inputs, const std::vector<int64_t>& hidden, int64_t outputs) {
  return {.inputs = inputs, .hidden = hidden, .outputs = outputs, .activation = "silu"};
}

MlpGan::MlpGan(const MlpGanConfig& c)
    : config_((c.check(), c)), generator_(layers(c.latent, c.hidden, c.features)), discriminator_(layers(c.features, c.hidden, 1)) {
  register_module("generator", generator_);
  register_module("discriminator", discriminator_);
}

Tensor MlpGan::styles(const Tensor& z, Generator&) const { return unsqueeze(z, 1); }

Tensor MlpGan::synthesize(const Tensor& styles, Generator&) const {
  Tensor x = generator_(styles);
  return config_.low == config_.high ? x : tanh(x) * ((config_.high - config_.low) / 2) + (config_.high + config_.low) / 2;
}

Tensor MlpGan::judge(const Tensor& examples) const { return squeeze(discriminator_(examples), 1); }

}  // namespace plumb::gan

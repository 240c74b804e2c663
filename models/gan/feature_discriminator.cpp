// Heads on features.
#include "models/gan/feature_discriminator.h"

#include <string>

#include "models/gan/losses.h"
#include "ops/activation.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::gan {

FeatureHead::FeatureHead(int64_t width, int64_t inner, int64_t groups)
    : in(this, "in", width, inner, 1),
      in_norm(this, "in_norm", groups, inner),
      residual(this, "residual", inner, inner, 1),
      residual_norm(this, "residual_norm", groups, inner),
      logit(this, "logit", inner, 1, 1) {}

Tensor FeatureHead::operator()(const Tensor& h) const {
  Tensor x = leaky_relu(in_norm(in(transpose(h, 1, 2))), 0.01);
  x = x + leaky_relu(residual_norm(residual(x)), 0.01);
  return squeeze(logit(x), 1);
}

FeatureDiscriminator::FeatureDiscriminator(int64_t layers, int64_t width, int64_t inner, int64_t groups) : heads_(this, "heads") {
  if (layers < 1) throw ValueError("feature_discriminator: needs a layer to see, got " + std::to_string(layers));
  for (int64_t i = 0; i < layers; ++i) heads_.emplace_back(width, inner, groups);
}

std::vector<Tensor> FeatureDiscriminator::operator()(const std::vector<Tensor>& hidden) const {
  if (hidden.size() != heads_.size())
    throw ValueError("feature_discriminator: " + std::to_string(hidden.size()) + " layers for " + std::to_string(heads_.size()) + " heads");
  std::vector<Tensor> logits;
  for (size_t i = 0; i < hidden.size(); ++i) logits.push_back(heads_[i](hidden[i]));
  return logits;
}

namespace {

template <typename Loss>
Tensor mean_over(size_t heads, Loss&& loss) {
  if (heads == 0) throw ValueError("feature_discriminator: there are no logits");
  Tensor total = loss(size_t{0});
  for (size_t i = 1; i < heads; ++i) total = total + loss(i);
  return total / static_cast<double>(heads);
}

}  // namespace

Tensor hinge_discriminator_loss(const std::vector<Tensor>& real, const std::vector<Tensor>& generated) {
  if (real.size() != generated.size())
    throw ValueError("feature_discriminator: " + std::to_string(real.size()) + " heads on real features, " +
                     std::to_string(generated.size()) + " on generated ones");
  return mean_over(real.size(), [&](size_t i) { return discriminator_loss(GanLoss::hinge, real[i], generated[i]); });
}

Tensor hinge_generator_loss(const std::vector<Tensor>& generated) {
  return mean_over(generated.size(), [&](size_t i) { return mean(relu(1 - generated[i])); });
}

}  // namespace plumb::gan

// The variational autoencoder: posterior, evidence bounds.
#include "models/autoencoder/vae.h"

#include <cmath>
#include <vector>

#include "ops/elementary.h"
#include "ops/join.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::autoencoder {

Tensor DiagonalGaussian::sample(Generator& random) const { return mean + exp(log_variance * 0.5) * randn_like(mean, &random); }

Tensor DiagonalGaussian::kl() const { return 0.5 * (square(mean) + exp(log_variance) - 1 - log_variance); }

Vae::Vae(const VaeConfig& c) : Autoencoder((c.check(), c.network), 2), vae_config_(c) {}

DiagonalGaussian Vae::posterior(const Tensor& images) const {
  std::vector<Tensor> halves = chunk(encoded(images), 2, 1);
  return {halves[0], clamp(halves[1], -30, 20)};
}

AutoencoderLoss Vae::loss(const Tensor& images, Generator& random) const {
  DiagonalGaussian q = posterior(images);
  Tensor reconstruction = mean(reconstruction_losses(q.sample(random), images));
  Tensor kl = mean(q.kl(), {0});
  if (kl.rank() > 1) kl = sum(kl, {1, 2});  // [latent]
  Tensor total = sum(kl), counted = vae_config_.free_bits > 0 ? sum(clamp_min(kl, vae_config_.free_bits)) : total;
  return {reconstruction + vae_config_.beta * counted, reconstruction, total};
}

// log p(z) − log q(z|x) with z = μ + σ ε:  ½ Σ (ε² − z² + log σ²).
Tensor Vae::importance_bound(const Tensor& images, int64_t samples, Generator& random) const {
  DiagonalGaussian q = posterior(images);
  std::vector<Tensor> weights;
  for (int64_t k = 0; k < samples; ++k) {
    Tensor noise = randn_like(q.mean, &random), z = q.mean + exp(q.log_variance * 0.5) * noise;
    Tensor prior_over_posterior = 0.5 * sum(flatten(square(noise) - square(z) + q.log_variance, 1), {1});
    weights.push_back(prior_over_posterior - reconstruction_losses(z, images));
  }
  return logsumexp(stack(weights), {0}) - std::log(static_cast<double>(samples));
}

}  // namespace plumb::autoencoder

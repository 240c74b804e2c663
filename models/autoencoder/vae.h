// The variational autoencoder (Kingma & Welling, ICLR 2014).
#pragma once
#include "models/autoencoder/autoencoder.h"

namespace plumb::autoencoder {

struct VaeConfig {
  AutoencoderConfig network;
  double beta = 1;       ///< weight of the KL divergence (Higgins et al. 2017)
  double free_bits =
      0;  ///< nats of KL that each number of a latent vector, or each channel of a map, may have for nothing (Kingma et al. 2016)

  /// An object with these names. from_json takes missing ones from the defaults and throws ConfigError for values that make no model.
  std::string to_json() const;
  static VaeConfig from_json(const std::string& json);
  /// Throws ConfigError naming what is out of range.
  void check() const;
};

/// N(mean, e^log_variance), each number for itself.
struct DiagonalGaussian {
  Tensor mean, log_variance;
  /// mean + e^(log_variance/2) ε, ε standard normal from `random`: differentiable in both.
  Tensor sample(Generator& random) const;
  /// KL(this ‖ N(0, 1)) of each number: ½ (μ² + σ² − 1 − log σ²).
  Tensor kl() const;
};

/// encoder → q(z|x) = N(μ, σ²), prior N(0, 1), decoder p(x|z). Minimises −ELBO, one z for each image:
///   −log p(x|z) + β Σ_j max(free_bits, KL_j),    KL_j the batch's mean of latent j (a number of a vector; a channel of a map, over its
///   places).
class Vae : public Autoencoder {
 public:
  /// Throws ConfigError as VaeConfig::check.
  explicit Vae(const VaeConfig& config);
  /// q(z | images); log variances are held within [−30, 20].
  DiagonalGaussian posterior(const Tensor& images) const;
  /// The posterior's mean.
  Tensor encode(const Tensor& images) const override { return posterior(images).mean; }
  /// `regulariser` is the KL itself: loss is reconstruction + regulariser, −ELBO, for β = 1 without free bits.
  AutoencoderLoss loss(const Tensor& images, Generator& random) const override;
  /// log (1/K) Σ_k p(x|z_k) p(z_k) / q(z_k|x), z_k from q(z|x): a lower bound of log p(x) that rises with K towards it (Burda et al. 2016),
  /// the ELBO for K = 1. → [B].
  Tensor importance_bound(const Tensor& images, int64_t samples, Generator& random) const;
  const VaeConfig& vae_config() const { return vae_config_; }

 private:
  VaeConfig vae_config_;
};

}  // namespace plumb::autoencoder

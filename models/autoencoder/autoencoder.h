// Autoencoders: the plain one, and what latent methods and training see of every kind.
#pragma once
#include <optional>
#include <string>

#include "engine/core/generator.h"
#include "models/autoencoder/coder.h"
#include "models/nn/linear.h"

namespace plumb::autoencoder {

/// What training an autoencoder on a batch minimises, and its parts: means over the images, in nats.
struct AutoencoderLoss {
  Tensor loss;            ///< what to minimise
  Tensor reconstruction;  ///< −log p(x | z)
  Tensor regulariser;     ///< what there is beside: KL(q(z|x) ‖ p(z)), the quantiser's losses; 0
};

/// −log p(x | decoder's output), summed over pixels: [B, ..] → [B]. `log_sigma` for the Gaussian.
Tensor negative_log_likelihood(Likelihood likelihood, const Tensor& output, const Tensor& images, const Tensor& log_sigma);

/// Images [B, C, H, W] in [0, 1] to latents [B, config().latent_shape()] and back, deterministic: z = encoder(2x − 1). By itself the plain
/// autoencoder, whose loss is the likelihood alone; the other kinds derive from it.
class Autoencoder : public nn::Module {
 public:
  /// Throws ConfigError as AutoencoderConfig::check.
  explicit Autoencoder(const AutoencoderConfig& config) : Autoencoder(config, 1) {}

  /// The latent that stands for the image. Throws ShapeError for other images than the config's.
  virtual Tensor encode(const Tensor& images) const { return encoded(images); }
  /// The mean image, in [0, 1] (Gaussian: about). Throws ShapeError for other latents.
  virtual Tensor decode(const Tensor& latents) const;
  /// decode(encode(images))
  Tensor reconstruct(const Tensor& images) const { return decode(encode(images)); }
  /// What is random is drawn from `random`.
  virtual AutoencoderLoss loss(const Tensor& images, Generator& random) const;

  const AutoencoderConfig& config() const { return config_; }

 protected:
  /// With an encoder that gives `parts` numbers for each one of the latent.
  Autoencoder(const AutoencoderConfig& config, int64_t parts);
  /// [B, parts · latent, h, w] or [B, parts · latent].
  Tensor encoded(const Tensor& images) const;
  /// The decoder's output, before it is made a mean.
  Tensor output(const Tensor& latents) const;
  /// [B]
  Tensor reconstruction_losses(const Tensor& latents, const Tensor& images) const;

 private:
  AutoencoderConfig config_;
  Encoder encoder_;
  Decoder decoder_;
  std::optional<nn::Conv2d> quant_conv_, post_quant_conv_;
  std::optional<nn::Linear> quant_linear_, post_quant_linear_;  // of a vector, to and from maps of kVectorMaps channels
  nn::Parameter log_sigma_;
};

}  // namespace plumb::autoencoder

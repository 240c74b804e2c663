// The vector-quantised autoencoder.
#include "models/autoencoder/vqvae.h"

#include "ops/pointwise.h"
#include "ops/reduce.h"

namespace plumb::autoencoder {

VqVae::VqVae(const VqVaeConfig& c)
    : Autoencoder((c.check(), c.network)), vqvae_config_(c), quantize_(this, "quantize", c.quantizer, c.network.latent) {}

AutoencoderLoss VqVae::loss(const Tensor& images, Generator& random) const {
  Quantized q = quantize_(encode(images), random);
  Tensor reconstruction = mean(reconstruction_losses(q.values, images));
  return {reconstruction + q.loss, reconstruction, q.loss};
}

}  // namespace plumb::autoencoder

// The vector-quantised autoencoder (van den Oord, Vinyals & Kavukcuoglu, NeurIPS 2017).
#pragma once
#include "models/autoencoder/autoencoder.h"
#include "models/autoencoder/quantizer.h"

namespace plumb::autoencoder {

struct VqVaeConfig {
  AutoencoderConfig network;  ///< whose latent must be a map
  QuantizerConfig quantizer;

  /// An object with these names. from_json takes missing ones from the defaults and throws ConfigError for values that make no model.
  std::string to_json() const;
  static VqVaeConfig from_json(const std::string& json);
  /// Throws ConfigError naming what is out of range.
  void check() const;
};

/// The decoder sees codes in place of the encoder's vectors:  −log p(x|e) + commitment ‖z − sg[e]‖² (+ ‖sg[z] − e‖²).
/// As a latent space (encode, decode) it is the one before quantisation, as latent diffusion takes it: decode quantises.
class VqVae : public Autoencoder {
 public:
  /// Throws ConfigError as VqVaeConfig::check.
  explicit VqVae(const VqVaeConfig& config);
  Tensor decode(const Tensor& latents) const override { return decode_codes(codes_of(latents)); }
  AutoencoderLoss loss(const Tensor& images, Generator& random) const override;

  /// The codes of images, i64 [B, h, w]; of latents; and the mean image of codes.
  Tensor codes(const Tensor& images) const { return codes_of(encode(images)); }
  Tensor codes_of(const Tensor& latents) const { return quantize_.nearest(latents); }
  Tensor decode_codes(const Tensor& codes) const { return Autoencoder::decode(quantize_.lookup(codes)); }
  const VectorQuantizer& quantizer() const { return quantize_; }
  const VqVaeConfig& vqvae_config() const { return vqvae_config_; }

 private:
  VqVaeConfig vqvae_config_;
  VectorQuantizer quantize_;
};

}  // namespace plumb::autoencoder

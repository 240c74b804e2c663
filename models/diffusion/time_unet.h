// A U-Net as diffusion and few-step methods call it: at a noise level, and for some with the level at which a jump is to end.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "models/unet/unet.h"

namespace plumb::diffusion {

/// F(x [B, C, H, W], c [B]) → [B, C, H, W], as TimeMlp is for vectors: c is a Precondition's c_noise. The second time enters the embedding
/// through weights of its own that start at 0: a network loaded from one without it (load_state, not strict) computes the same until it is
/// trained. Where nothing is recorded, large batches pass in parts of `kPart` images.
class TimeUnet : public nn::Module {
 public:
  static constexpr int64_t kPart = 256;
  explicit TimeUnet(const unet::UnetConfig& config, bool second_time = false);
  /// Throws ValueError if a second time is missing or not known, and as unet::Unet.
  Tensor operator()(const Tensor& x, const Tensor& noise, const Tensor& second = {}) const;
  /// The last stage's output, averaged over places: [B, feature_width()]; what a discriminator reads.
  Tensor features(const Tensor& x, const Tensor& noise, const Tensor& second = {}) const;
  int64_t feature_width() const { return unet_.config().channels(0); }
  /// The layers of the decoder with weights, for adapters.
  std::vector<std::string> decoder_layers() const;
  /// The weight of the last convolution: where gradients of several losses are compared (optim::adaptive_weight).
  Tensor last_weight() const;
  const unet::UnetConfig& config() const { return unet_.config(); }

 private:
  unet::UnetInputs inputs(const Tensor& second) const;
  unet::Unet unet_;
  std::optional<nn::Linear> second_;
};

}  // namespace plumb::diffusion

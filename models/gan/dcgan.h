// The deep convolutional GAN (Radford, Metz & Chintala, ICLR 2016).
#pragma once
#include <string>

#include "models/gan/gan.h"
#include "models/nn/containers.h"

namespace plumb::gan {

struct DcganConfig {
  int64_t channels = 1;  ///< of the images
  int64_t side = 28;     ///< of the images; as ImageSide
  int64_t width = 32;    ///< channels at half of the full size; doubled with every further halving
  int64_t latent = 64;   ///< random numbers an image is made of

  /// An object with these names. from_json takes missing ones from the defaults and throws ConfigError for values that make no model.
  std::string to_json() const;
  static DcganConfig from_json(const std::string& json);
  /// Throws ConfigError naming what is out of range.
  void check() const;
};

/// z [B, latent] → images: a transposed convolution to the smallest square, then one for each doubling, 4×4 with stride 2, with batch norm
/// and relu between them and tanh in the end.
class DcganGenerator : public nn::Module {
 public:
  explicit DcganGenerator(const DcganConfig& config);
  DcganGenerator(nn::Module* parent, std::string name, const DcganConfig& config) : DcganGenerator(config) {
    join(parent, std::move(name));
  }
  /// Throws ShapeError unless z is [B, latent].
  Tensor operator()(const Tensor& z) const;

 private:
  int64_t latent_;
  nn::Sequential main_;
};

/// images → logits [B]: the generator's mirror, 4×4 convolutions with stride 2, leaky relu of slope 0.2, batch norm but in the first layer.
class DcganDiscriminator : public nn::Module {
 public:
  explicit DcganDiscriminator(const DcganConfig& config);
  DcganDiscriminator(nn::Module* parent, std::string name, const DcganConfig& config) : DcganDiscriminator(config) {
    join(parent, std::move(name));
  }
  /// Throws ShapeError unless images are [B, channels, side, side].
  Tensor operator()(const Tensor& images) const;

 private:
  int64_t channels_, side_;
  nn::Sequential main_;
};

/// Both, under "generator" and "discriminator", with the layer names of the public PyTorch example ("generator.main.0.weight"; its final
/// sigmoid is part of the loss here). Convolutions start as N(0, 0.02²), weights of norms as N(1, 0.02²), biases as 0.
class Dcgan : public Gan {
 public:
  /// Throws ConfigError as DcganConfig::check.
  explicit Dcgan(const DcganConfig& config);
  int64_t latent() const override { return config_.latent; }
  Tensor styles(const Tensor& z, Generator&) const override;
  Tensor synthesize(const Tensor& styles, Generator&) const override;
  Tensor judge(const Tensor& images) const override { return discriminator_(images); }
  nn::Module& generator() override { return generator_; }
  nn::Module& discriminator() override { return discriminator_; }
  const DcganConfig& config() const { return config_; }

 private:
  DcganConfig config_;
  DcganGenerator generator_;
  DcganDiscriminator discriminator_;
};

}  // namespace plumb::gan

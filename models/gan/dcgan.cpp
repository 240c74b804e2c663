// The deep convolutional GAN: its layers, its initialisation, forward.
#include "models/gan/dcgan.h"

#include "models/gan/image_side.h"
#include "models/nn/activation.h"
#include "models/nn/conv.h"
#include "models/nn/init.h"
#include "models/nn/norm.h"
#include "ops/shape.h"

namespace plumb::gan {
namespace {

constexpr double kSlope = 0.2;

void start_weights(nn::Module& network) {
  for (auto& [name, p] : network.named_parameters()) {
    if (p.rank() == 4) nn::init::normal(p, 0, 0.02);
    else if (name.ends_with(".weight")) nn::init::normal(p, 1, 0.02);
    else nn::init::zeros(p);
  }
}

}  // namespace

DcganGenerator::DcganGenerator(const DcganConfig& c) : latent_(c.latent), main_(this, "main") {
  ImageSide side = ImageSide::of(c.side, "dcgan");
  int64_t width = c.width << (side.doublings - 1);
  main_.push_back(nn::ConvTranspose2d(c.latent, width, side.start, {.bias = false}));
  for (int64_t i = 0; i < side.doublings; ++i, width /= 2) {
    main_.push_back(nn::BatchNorm2d(width));
    main_.push_back(nn::ReLU());
    bool last = i == side.doublings - 1;
    main_.push_back(nn::ConvTranspose2d(width, last ? c.channels : width / 2, 4, {.stride = 2, .padding = 1, .bias = false}));
  }
  main_.push_back(nn::Tanh());
  start_weights(*this);
}

Tensor DcganGenerator::operator()(const Tensor& z) const {
  if (z.rank() != 2 || z.size(1) != latent_)
    throw ShapeError("dcgan: takes random numbers [B, " + std::to_string(latent_) + "], got " + to_string(z.shape()));
  return main_(reshape(z, {z.size(0), latent_, 1, 1}));
}

DcganDiscriminator::DcganDiscriminator(const DcganConfig& c) : channels_(c.channels), side_(c.side), main_(this, "main") {
  ImageSide side = ImageSide::of(c.side, "dcgan");
  int64_t width = c.width;
  for (int64_t i = 0; i < side.doublings; ++i) {
    main_.push_back(nn::Conv2d(i == 0 ? c.channels : width, i == 0 ? width : 2 * width, 4, {.stride = 2, .padding = 1, .bias = false}));
    if (i > 0) {
      width *= 2;
      main_.push_back(nn::BatchNorm2d(width));
    }
    main_.push_back(nn::LeakyReLU(kSlope));
  }
  main_.push_back(nn::Conv2d(width, 1, side.start, {.bias = false}));
  start_weights(*this);
}

Tensor DcganDiscriminator::operator()(const Tensor& images) const {
  if (images.rank() != 4 || images.shape() != Shape{images.size(0), channels_, side_, side_})
    throw ShapeError("dcgan: takes images [B, " + std::to_string(channels_) + ", " + std::to_string(side_) + ", " + std::to_string(side_) +
                     "], got " + to_string(images.shape()));
  return flatten(main_(images));
}

Dcgan::Dcgan(const DcganConfig& c) : config_((c.check(), c)), generator_(this, "generator", c), discriminator_(this, "discriminator", c) {}
Tensor Dcgan::styles(const Tensor& z, Generator&) const { return unsqueeze(z, 1); }
Tensor Dcgan::synthesize(const Tensor& styles, Generator&) const { return generator_(flatten(styles, 1)); }

}  // namespace plumb::gan

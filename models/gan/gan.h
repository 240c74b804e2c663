// An adversarial pair, as training and sampling see it.
#pragma once
#include "engine/core/generator.h"
#include "models/nn/module.h"

namespace plumb::gan {

/// A generator of images in [−1, 1] from random numbers, and a discriminator that tells them from real ones.
class Gan : public nn::Module {
 public:
  /// How many N(0, 1) numbers an image is made of.
  virtual int64_t latent() const = 0;
  /// z [B, latent()] → [B, layers, width], what each layer of the generator is driven by (z itself where there is no more to it). What else
  /// is random (mixed styles) is drawn from `random`.
  virtual Tensor styles(const Tensor& z, Generator& random) const = 0;
  /// styles → images [B, C, H, W], about in [−1, 1]; noise of layers is drawn from `random`.
  virtual Tensor synthesize(const Tensor& styles, Generator& random) const = 0;
  Tensor generate(const Tensor& z, Generator& random) const { return synthesize(styles(z, random), random); }
  /// images [B, C, H, W] → logits [B].
  virtual Tensor judge(const Tensor& images) const = 0;
  virtual nn::Module& generator() = 0;
  virtual nn::Module& discriminator() = 0;

  nn::Buffer path_length_mean{this, "path_length_mean",
                              zeros({1})};  ///< running mean of path lengths, where they are penalised; 0 before the first
};

}  // namespace plumb::gan

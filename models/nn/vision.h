// Resizing and reordering of images as layers.
#pragma once
#include "models/nn/module.h"
#include "ops/vision.h"

namespace plumb::nn {

/// interpolate(x, options): nn::Upsample({.scale = 2, .mode = Interpolation::bicubic}).
class Upsample : public Module {
 public:
  explicit Upsample(InterpolateOptions options) : options_(options) {}
  Upsample(Module* parent, std::string name, InterpolateOptions options) : Upsample(options) { join(parent, std::move(name)); }
  Tensor operator()(const Tensor& x) const { return interpolate(x, options_); }

 private:
  InterpolateOptions options_;
};

/// f(x, factor) of ops/vision.h.
template <Tensor (*f)(const Tensor&, int64_t)>
class Rearrangement : public Module {
 public:
  explicit Rearrangement(int64_t factor) : factor_(factor) {}
  Rearrangement(Module* parent, std::string name, int64_t factor) : Rearrangement(factor) { join(parent, std::move(name)); }
  Tensor operator()(const Tensor& x) const { return f(x, factor_); }

 private:
  int64_t factor_;
};
using PixelShuffle = Rearrangement<pixel_shuffle>;
using PixelUnshuffle = Rearrangement<pixel_unshuffle>;
using ChannelShuffle = Rearrangement<channel_shuffle>;  ///< factor: the number of groups

}  // namespace plumb::nn

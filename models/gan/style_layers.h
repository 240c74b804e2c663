// Layers of style-based GANs (Karras et al., CVPR 2019 and 2020). Weights start as N(0, 1) and are scaled where they are used, so that one
// learning rate suits all of them (equalised learning rate). Names are those of the public stylegan2-ada-pytorch.
#pragma once
#include <optional>
#include <string>

#include "engine/core/generator.h"
#include "models/nn/module.h"

namespace plumb::gan {

/// √2 · leaky_relu(x, 0.2), which keeps the variance of normal x about.
Tensor scaled_leaky_relu(const Tensor& x);

struct EqualizedLinearOptions {
  bool activate = false;   ///< scaled_leaky_relu of the result
  double rate = 1;         ///< the layer's learning rate, times that of the others
  double bias_start = 0;
};

/// x · (weight · rate/√in)ᵀ + rate · bias; weight [out, in] starts as N(0, 1/rate²).
class EqualizedLinear : public nn::Module {
 public:
  EqualizedLinear(int64_t in, int64_t out, EqualizedLinearOptions options = {});
  EqualizedLinear(nn::Module* parent, std::string name, int64_t in, int64_t out, EqualizedLinearOptions options = {})
      : EqualizedLinear(in, out, options) {
    join(parent, std::move(name));
  }
  Tensor operator()(const Tensor& x) const;

  nn::Parameter weight, bias;

 private:
  EqualizedLinearOptions options_;
};

struct EqualizedConvOptions {
  bool bias = true;
  bool activate = true;
  bool down = false;  ///< halves the image, after a low-pass filter
  double gain = 1;    ///< factor of the result
};

/// conv2d(x, weight / √(in · k²)) + bias at full size (odd k), or at half of it.
class EqualizedConv : public nn::Module {
 public:
  EqualizedConv(int64_t in, int64_t out, int64_t kernel, EqualizedConvOptions options = {});
  EqualizedConv(nn::Module* parent, std::string name, int64_t in, int64_t out, int64_t kernel, EqualizedConvOptions options = {})
      : EqualizedConv(in, out, kernel, options) {
    join(parent, std::move(name));
  }
  Tensor operator()(const Tensor& x) const;

  nn::Parameter weight, bias;

 private:
  EqualizedConvOptions options_;
};

struct ModulationOptions {
  bool up = false;          ///< doubles the image, followed by a low-pass filter
  bool demodulate = true;
};
/// A convolution whose weight is scaled for each example (Karras et al. 2020, section 2.2):
///   w'_oikl = s_i · w_oikl,   w''_oikl = w'_oikl / √(Σ_ikl w'_oikl² + 1e−8)
/// x [B, in, H, W], weight [out, in, k, k], style s [B, in] → [B, out, H, W], or twice the size. Computed as conv(x · s) / √(…): one
/// convolution for the whole batch. Throws ShapeError if they do not fit.
Tensor modulated_conv2d(const Tensor& x, const Tensor& weight, const Tensor& style, const ModulationOptions& options = {});

/// [B, C, H, W] → twice the size, through the low-pass filter [1, 3, 3, 1].
Tensor upsampled(const Tensor& x);

/// Another channel: how much examples differ within groups of at most `group` (of the largest size that divides the batch), the mean
/// standard deviation over all features and places (Karras et al. 2018). [B, C, H, W] → [B, C + 1, H, W].
Tensor with_minibatch_deviation(const Tensor& x, int64_t group);

/// scaled_leaky_relu(modulated_conv2d(x, weight, affine(w)) + strength · noise + bias).
class StyleLayer : public nn::Module {
 public:
  /// `side`: of the result. `up`: of an input half as large.
  StyleLayer(int64_t in, int64_t out, int64_t style, int64_t side, bool up);
  StyleLayer(nn::Module* parent, std::string name, int64_t in, int64_t out, int64_t style, int64_t side, bool up)
      : StyleLayer(in, out, style, side, up) {
    join(parent, std::move(name));
  }
  /// Noise from `random`; of no `random`, the layer's own constant.
  Tensor operator()(const Tensor& x, const Tensor& w, Generator* random) const;

  EqualizedLinear affine;
  nn::Parameter weight, noise_strength, bias;
  nn::Buffer noise_const;

 private:
  bool up_;
};

/// A 1×1 convolution under a style, without demodulation, to image channels.
class ToRgb : public nn::Module {
 public:
  ToRgb(int64_t in, int64_t channels, int64_t style);
  ToRgb(nn::Module* parent, std::string name, int64_t in, int64_t channels, int64_t style) : ToRgb(in, channels, style) {
    join(parent, std::move(name));
  }
  Tensor operator()(const Tensor& x, const Tensor& w) const;

  EqualizedLinear affine;
  nn::Parameter weight, bias;
};

}  // namespace plumb::gan

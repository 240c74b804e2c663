// The denoiser of phasic content fusion: a diffusion U-Net whose bottleneck can take up the features of a content image.
#pragma once
#include "models/diffusion/noise_schedule.h"
#include "models/unet/unet.h"

namespace plumb::methods::phasic_diffusion {

/// m(t) = 1/(1 + e^(T_s − t)): how much of the content passes at time t; in raw steps, so that it switches within about ±5 of T_s.
struct PhasicGate {
  double switch_time = 300;  ///< T_s
  bool always_open = false;  ///< m = 1: content at all times (an ablation)
  double operator()(double t) const;
  /// t [B] → [B], f32.
  Tensor operator()(const Tensor& t) const;
};

/// conv(relu(conv(relu(conv([h ; h_c]))))), 3×3, 2C → C → C → C channels, without a residual: [B, C, H, W] twice → the same.
struct ContentFusion : nn::Module {
  nn::Conv2d conv1, conv2, conv3;
  ContentFusion(nn::Module* parent, std::string name, int64_t channels);
  Tensor operator()(const Tensor& h, const Tensor& content) const;
};

/// ε_θ(x_t, t, c). With a content image c the output h of the middle is replaced by Fuse([h ; h_c]),
///   h_c = m(t) E(c_t) + (1 − m(t)) n,   c_t = √ᾱ_t c + √(1−ᾱ_t) z,   z, n ~ N(0, I) fresh,
/// E the U-Net's own encoder, without a gradient; so a call with content is random. Without c it is the U-Net, and Fuse is not touched.
class PhasicUnet : public nn::Module {
 public:
  /// A copy of `base` (trained or not) with a new fusion. Throws ValueError unless 0 ≤ T_s ≤ T.
  PhasicUnet(const unet::Unet& base, const PhasicGate& gate, const diffusion::VpSchedule& schedule);

  /// x [B, C, H, W] in the scale of [−1, 1], t i64 [B], content of x's shape or undefined → ε, x's shape. Throws ShapeError for another
  /// shape.
  Tensor operator()(const Tensor& x, const Tensor& t, const Tensor& content = {}, Generator& generator = default_generator()) const;
  /// h_c, no gradient.
  Tensor content_features(const Tensor& content, const Tensor& t, Generator& generator = default_generator()) const;

  const diffusion::VpSchedule& schedule() const { return schedule_; }
  const PhasicGate& gate() const { return gate_; }

 private:
  PhasicGate gate_;
  diffusion::VpSchedule schedule_;

 public:
  unet::Unet base;
  ContentFusion fusion;
};

}  // namespace plumb::methods::phasic_diffusion

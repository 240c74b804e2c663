// A small diffusion model of vectors with classes: DDPM's noise prediction on a variance-preserving schedule (Ho et al. 2020).
#pragma once
#include "engine/core/generator.h"
#include "models/diffusion/precondition.h"
#include "models/diffusion/time_mlp.h"

namespace plumb::diffusion {

struct VectorDdpmConfig {
  int64_t features = 64;  ///< numbers an example
  int64_t classes = 10;   ///< 0: none
  std::vector<int64_t> hidden{256, 256, 256};
};

/// z_θ(x_t, t, class) = √(1−ᾱ) x_t + √ᾱ F, F a TimeMlp that is told 2 t/T − 1 and the class as one-hot numbers; trained on ‖z_θ − z‖²,
/// x_t = √ᾱ x₀ + √(1−ᾱ) z. The first term is what a perceptron without skips would have to pass on number by number: F is left with v.
class VectorDdpm : public nn::Module {
 public:
  /// Throws as TimeMlpConfig::check.
  VectorDdpm(const VectorDdpmConfig& config, VpSchedule schedule);

  /// The predicted noise: x_t [B, features], t [B] of any number type, label i64 [B] (undefined without classes) → x_t's shape.
  Tensor operator()(const Tensor& x, const Tensor& t, const Tensor& label = {}) const;
  /// mean over the example of (z_θ − z)², one z and one t ~ U{0 … T − 1} an example: [B].
  Tensor losses(const Tensor& clean, const Tensor& label = {}, Generator& generator = default_generator()) const;
  /// The denoiser of x₀ + σ z for these labels, which every sampler takes. The model must outlive it.
  Denoiser denoiser(Tensor label = {}) const;
  /// n samples by DDIM with `steps` calls, n the number of labels; without classes n is given. Nothing is recorded.
  Tensor sample(const Tensor& label, int64_t steps, Generator& generator = default_generator()) const;
  Tensor sample(int64_t n, int64_t steps, Generator& generator = default_generator()) const;

  const VpSchedule& schedule() const { return schedule_; }
  const VectorDdpmConfig& config() const { return config_; }

 private:
  Tensor sampled(int64_t n, const Tensor& label, int64_t steps, Generator& generator) const;
  VectorDdpmConfig config_;
  VpSchedule schedule_;
  TimeMlp network_;
};

}  // namespace plumb::diffusion

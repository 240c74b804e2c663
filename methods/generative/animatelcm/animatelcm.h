// AnimateLCM (Wang et al., SIGGRAPH Asia 2024): consistency distillation of a video model with the image prior and the motion prior taken
// apart, and adapters that are trained without a teacher.
#pragma once
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "models/diffusion/consistency.h"
#include "models/optim/merged_average.h"

namespace plumb::methods::animatelcm {

// -- levels and guidance: the released form for image-to-video models (variance exploding, diffusion::ContinuousVPrecondition) ------------

/// w_i = (σ_i − σ_(i+1))^(−power) for a descending grid: one weight an interval. Throws ValueError for a grid that does not descend.
std::vector<double> interval_weights(const std::vector<double>& levels, double power = 0.1);

/// Guidance that grows linearly over the frames, from `low` at the first to `high` at the last; `low` for one frame. Throws ValueError for
/// frames < 1.
std::vector<double> frame_linear_guidance(double low, double high, int64_t frames);
/// The same with ends drawn for a step: low from {1, 1.25, 1.5}, high from {2, 2.25, 2.5}.
std::vector<double> draw_frame_guidance(int64_t frames, Generator& generator = default_generator());
/// u + w_f (c − u), one scale a frame: [B, C, F, H, W] both. Throws ShapeError for another number of frames.
Tensor guided_frames(const Tensor& conditional, const Tensor& unconditional, const std::vector<double>& scales);

// -- pairs: neighbouring levels of a descending grid, whose last level may be 0
// ------------------------------------------------------------

/// clean + σ z at both ends of an interval that is drawn uniformly for every example, with one z (noise of its own for every element, also
/// of every frame), and interval_weights. As it is, the pair is that of consistency training: teacher-free adaptation. Throws ValueError
/// for an empty batch or fewer than two levels.
diffusion::NoisePair draw_pair(const std::vector<double>& levels, const Tensor& clean, double weight_power = 0.1,
                               Generator& generator = default_generator());
/// The same for intervals that are given: place[b] in [0, levels − 1). Throws IndexError for others.
diffusion::NoisePair pair_at(const std::vector<double>& levels, const Tensor& clean, const std::vector<int64_t>& place,
                             double weight_power = 0.1, Generator& generator = default_generator());
/// The pair with x_low where one Euler step of the teacher's ODE carries x_high: x + (x − D)/σ (σ' − σ), the estimate D itself where σ' =
/// 0.
diffusion::NoisePair solved(diffusion::NoisePair pair, const diffusion::Denoiser& teacher);

/// A first frame [B, ..] as the image-to-video form is told it: frame + e^s z with s ~ N(mean, std²), one an example, and z ~ N(0, I), so
/// that the condition is not copied. Throws ValueError for an empty batch.
Tensor augmented_condition(const Tensor& frame, double mean = -3, double std = 0.5, Generator& generator = default_generator());

// -- distillation ----------------------------------------------------------------------------------------------------------------

/// How the target starts: as the student computes, or as the student would without its adapters, whose effect then comes in through the
/// average: after k updates of a constant student 1 − decay^k of it.
enum class TargetStart : uint8_t { copy, without_adapters };

struct DistillOptions {
  TargetStart start = TargetStart::copy;
  double decay = 0.95;   ///< of the target's average over effective weights
  double huber = 0.001;  ///< c of √((u − v)² + c²) − c, the mean over all elements
  /// Throws ValueError for a decay outside [0, 1] or c ≤ 0.
  void check() const;
};

/// Consistency distillation of a Model that may have low-rank adapters: losses pull the student's answer at σ to the target's at σ'. The
/// target is an average of the weights with adapters merged in (Model copies as modules do):
///   Distillation<VideoMlp> training(student, precondition, {.start = TargetStart::without_adapters});
///   …  Tensor loss = mean(training.losses(solved(draw_pair(levels, videos), teacher), answer));  …step…;  training.update();
template <typename Model>
class Distillation {
 public:
  /// What a model says of x [B, ..] at c_noise [B].
  using Answer = std::function<Tensor(const Model& model, const Tensor& x, const Tensor& noise)>;

  /// Student and precondition are used, not copied.
  Distillation(Model& student, const diffusion::Precondition& precondition, const DistillOptions& options)
      : student_(student),
        precondition_(precondition),
        options_((options.check(), options)),
        target_(optim::without_adapters(student, options.start == TargetStart::copy)) {
    target_.requires_grad_(false);
  }

  /// Weighted distances, [B].
  Tensor losses(const diffusion::NoisePair& pair, const Answer& answer) const {
    return diffusion::consistency_losses(pair, denoiser(student_, answer), denoiser(target_, answer),
                                         diffusion::ConsistencyMetric::elementwise_huber, options_.huber);
  }
  /// To be called after the optimiser's step.
  void update() { optim::merged_ema_update(target_, student_, options_.decay); }
  const Model& target() const { return target_; }
  diffusion::Denoiser denoiser(const Model& model, const Answer& answer) const {
    return [this, &model, answer](const Tensor& x, const Tensor& sigma) {
      return precondition_.denoise([&](const Tensor& y, const Tensor& noise) { return answer(model, y, noise); }, x, sigma);
    };
  }

 private:
  Model& student_;
  const diffusion::Precondition& precondition_;
  DistillOptions options_;
  Model target_;
};

}  // namespace plumb::methods::animatelcm

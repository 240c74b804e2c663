// The miniature of phasic diffusion: digits, a texture as the new style, and networks that see and judge both.
#pragma once
#include "methods/common/small_cnn.h"
#include "methods/generative/phasic_diffusion/phasic_diffusion.h"

namespace plumb::methods::phasic_diffusion {

/// How strokes are drawn. The source domain is `plain`, the target `checkered`; the others stand for the rest of the world, which the
/// frozen encoder knows.
enum class Style : uint8_t { plain, checkered, dilated, outlined, rows, columns };

/// Digits [n, 1, H, W] in [0, 1] in a style, in [0, 1]. plain: 60 % of the brightness; checkered: the same, times 1.6 and 0.4 in turn, so
/// that 2 × 2 means, the low frequencies, are about those of plain; rows and columns: likewise in stripes; dilated: the largest of 2 × 2
/// pixels; outlined: less where all four neighbours are bright.
Tensor drawn(const Tensor& digits, Style style);

/// Images are [n, 1, 8, 8] in [0, 1].
struct Problem {
  Tensor source;                       ///< 1,500 plain digits, for training
  Tensor shots;                        ///< 10 checkered digits of three classes
  Tensor held_out, labels;             ///< plain digits to translate, and what they are
  Tensor truth;                        ///< the same digits, checkered
  SmallCnn encoder;                    ///< E: knows digits and the styles but the target's
  Tensor feature_mean, feature_scale;  ///< over plain digits
  SmallCnn style_judge, digit_judge;   ///< trained on both domains, for measuring only

  /// Standardised features, differentiable.
  Tensor features(const Tensor& images) const;
  /// Of the encoder's two convolutions.
  std::vector<Tensor> style_maps(const Tensor& images) const;
  ImageEncoder image_encoder() const;
};

/// Draws from the default generator. `steps` each of training encoder and judges; `held_out` digits to translate, at most 200.
Problem make_problem(int64_t steps, int64_t held_out, const std::function<void()>& alive);

}  // namespace plumb::methods::phasic_diffusion

// Spliced images for WSCL's experiment: parts of another picture, told by the noise they bring along.
#pragma once
#include <vector>

#include "engine/core/generator.h"
#include "engine/core/tensor.h"

namespace plumb::methods::wscl {

/// What a picture went through before it was pasted from. σ is the picture's own level of noise.
enum class Noise : uint8_t {
  camera,     ///< normal noise smoothed by [1 2 1; 2 4 2; 1 2 1] to the standard deviation σ: what authentic images have
  raw,        ///< not smoothed: as strong, but white
  faint,      ///< smoothed, 0.4 σ
  quantised,  ///< camera noise, then 8×8 blocks whose cosine coefficients are rounded to multiples of 0.08
  enlarged    ///< camera noise at half the resolution, every value twice in each direction
};

/// A field of noise [size, size] of level σ, f32. Throws ValueError for `quantised`, which is no field, for an odd size of `enlarged` ones,
/// and for σ < 0.
Tensor noise_field(Noise noise, int64_t size, double sigma, Generator& generator);
/// Each 8×8 block of an image [H, W] (multiples of 8) through the orthonormal cosine transform, coefficients rounded to multiples of
/// `step`, and back. Throws ShapeError, ValueError for a step ≤ 0.
Tensor quantise_blocks(const Tensor& image, double step);

struct ForgeryOptions {
  int64_t size = 32;
  double tampered = 0.5;                      ///< share of the images
  double min_sigma = 0.02, max_sigma = 0.06;  ///< levels of noise, each picture's drawn evenly in its logarithm
  double min_area = 0.10, max_area = 0.25;    ///< of the pasted part
  std::vector<Noise> donors = {Noise::raw, Noise::faint, Noise::quantised};
};
struct Forgeries {
  Tensor images;  ///< f32 [n, 3, size, size]: one grey channel three times, normalised by (x − 0.25) / 0.25
  Tensor labels;  ///< i64 [n]
  Tensor masks;   ///< i64 [n, size, size]: what was pasted
};
/// n images whose content is drawn from grey pictures `content` [m, 1, h, w] in [0, 1], enlarged to size: authentic ones with camera noise,
/// tampered ones with a rectangle or an ellipse from another picture with another
/// noise, its border soft over about four pixels. Throws ShapeError for another content, ValueError
/// for areas that are not 0 < min ≤ max < 1 or no donors.
Forgeries forged(int64_t n, const Tensor& content, const ForgeryOptions& options, Generator& generator);

}  // namespace plumb::methods::wscl

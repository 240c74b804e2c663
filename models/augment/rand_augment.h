// RandAugment: a few changes drawn from a list, and the weak and strong views of an image that consistency training compares. Images are
// f32 [B, C, H, W] in [0, 1] on the CPU, treated one by one, as in augment.h; what is drawn comes from the generator alone.
#pragma once
#include <cstdint>
#include <functional>
#include <vector>

#include "engine/core/generator.h"
#include "ops/pad.h"

namespace plumb::augment {

/// One change of an image, by an amount:
///   brightness, color, contrast, sharpness: degenerate + amount (x − degenerate), clipped to [0, 1], where the degenerate image is
///     black, grey (0.299 R + 0.587 G + 0.114 B), the mean grey, or smoothed by [1 1 1; 1 5 1; 1 1 1] / 13 (its border as it is);
///     amount 1 changes nothing
///   auto_contrast: each channel stretched to reach from 0 to 1;   equalize: each channel's histogram of 256 levels flattened
///   invert: 1 − x;   solarize: levels (of 256) at or above the amount inverted;   posterize: the upper ⌈amount⌉ of 8 bits kept
///   rotate (degrees, counter-clockwise), shear_x, shear_y (slope), translate_x, translate_y (whole pixels, to the right and down):
///     nearest pixel, zeros outside
///   cutout: a square of ⌊amount⌋ pixels about a uniform place set to zero
enum class Change : uint8_t {
  identity, auto_contrast, brightness, color, contrast, cutout, equalize, invert, posterize,
  rotate, sharpness, shear_x, shear_y, solarize, translate_x, translate_y
};

/// Every image of the batch under the same change. The generator draws the places of cutout.
Tensor apply_change(const Tensor& images, Change change, double amount, Generator& generator);

/// A change and how much of it: uniform in [first, last], or one of `levels` evenly spaced amounts; with either sign, if mirrored.
struct ChangeRange {
  Change change;
  double first = 0, last = 0;
  int levels = 0;
  bool mirrored = false;
};

struct RandAugmentPolicy {
  std::vector<ChangeRange> changes;
  int n = 2;           ///< drawn for each image, uniformly and independently, and applied in turn
  double rate = 1;     ///< each is applied with this probability
  int64_t cutout = 0;  ///< side of a square that is cut out of every image in the end
  /// What cut-out squares and places from outside become, one value a channel or one for all; empty: 0. The official UDA code transforms
  /// images of mean 0, so that there it is the mean colour.
  std::vector<float> fill = {};
};

/// Throws ValueError for an empty list, n < 0, or a rate outside [0, 1], ShapeError for a fill of another number of channels.
Tensor rand_augment(const Tensor& images, const RandAugmentPolicy& policy, Generator& generator);

/// The list of UDA (Xie et al. 2020) for 32×32 images: 15 changes, two of nine magnitudes each, applied with probability ½, then a
/// cutout of 16 pixels. For the official fill, set `fill` to the mean colour.
RandAugmentPolicy uda_policy();
/// The list of FixMatch (Sohn et al. 2020): 14 changes, two with uniform magnitudes, then a cutout of half the side.
RandAugmentPolicy fixmatch_policy(int64_t side = 32);
/// For 8×8 digits, whose meaning flips and inversions would change: rotate ±20°, shear ±0.2, translate ±1, contrast 0.5 … 1.5, brightness
/// 0.7 … 1.3; two of them, then a 2-pixel cutout.
RandAugmentPolicy small_digits_policy();

/// With probability `rate`, the image moved down and to the right by whole pixels, each of −pixels … pixels equally likely; zeros
/// outside.
/// Throws ValueError for pixels < 0 or a rate outside [0, 1].
Tensor random_shift(const Tensor& images, int64_t pixels, double rate, Generator& generator);

/// A random view of a batch.
using View = std::function<Tensor(const Tensor& images, Generator& generator)>;

/// Flip and crop, for natural images: mirrored with probability `flip`, then padded and cut back.
View flip_crop_view(double flip = 0.5, int64_t padding = 4, PadMode mode = PadMode::reflect);
/// random_shift, for digits.
View shift_view(int64_t pixels = 1, double rate = 0.5);
/// rand_augment after `first` (nothing, if empty).
View rand_augment_view(RandAugmentPolicy policy, View first = {});
/// x + σ ε: the weak noise that strong views are compared with. Throws ValueError for σ < 0.
View gaussian_view(double sigma);

}  // namespace plumb::augment

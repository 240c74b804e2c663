// Weak and strong views for images that consistency training is to work on, by what may be done to them.
#pragma once
#include <string>
#include <vector>

#include "models/augment/rand_augment.h"

namespace plumb::methods {

/// photos: mirrored or moved they show the same.   marks: digits, letters and signs, which mirrored or inverted mean something else.
enum class ImageKind : uint8_t { photos, marks };
const std::vector<std::string>& words_of(ImageKind);

/// For marks of any size: rotate ±20°, shear ±0.2, translate up to an eighth of the side, contrast 0.5 … 1.5, brightness 0.7 … 1.3; two of
/// them, then a cutout of a quarter of the side. With side 8 it is small_digits_policy.
augment::RandAugmentPolicy marks_policy(int64_t side);

struct ImageViews {
  augment::View
      weak;  ///< photos: flip, and crop with an eighth of the side as padding; marks: shifts by up to a fourteenth, every other time
  augment::View strong;  ///< RandAugment after the weak view, by FixMatch's list or by marks_policy
};
/// For images whose shorter side has `side` pixels.
ImageViews image_views(ImageKind kind, int64_t side);

}  // namespace plumb::methods

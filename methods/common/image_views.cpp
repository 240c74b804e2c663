// Weak and strong views by what may be done to images.
#include "methods/common/image_views.h"

#include <algorithm>

namespace plumb::methods {

const std::vector<std::string>& words_of(ImageKind) {
  static const std::vector<std::string> words{"photos", "marks"};
  return words;
}

augment::RandAugmentPolicy marks_policy(int64_t side) {
  using enum augment::Change;
  auto far = static_cast<double>(std::max<int64_t>(1, side / 8));
  return {.changes = {{rotate, 0, 20, 0, true}, {shear_x, 0, 0.2, 0, true}, {shear_y, 0, 0.2, 0, true}, {translate_x, 1, far, 0, true},
                      {translate_y, 1, far, 0, true}, {contrast, 0.5, 1.5}, {brightness, 0.7, 1.3}},
          .n = 2,
          .rate = 1,
          .cutout = side / 4};
}

ImageViews image_views(ImageKind kind, int64_t side) {
  bool marks = kind == ImageKind::marks;
  augment::View weak =
      marks ? augment::shift_view(std::max<int64_t>(1, side / 14)) : augment::flip_crop_view(0.5, std::max<int64_t>(1, side / 8));
  return {weak, augment::rand_augment_view(marks ? marks_policy(side) : augment::fixmatch_policy(side), weak)};
}

}  // namespace plumb::methods

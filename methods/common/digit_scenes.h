// Scenes for detection: handwritten digits of any size and place on photographs or textures, with boxes that are known exactly.
#pragma once
#include <vector>

#include "engine/core/generator.h"
#include "engine/data/dataset.h"
#include "methods/common/scene_backgrounds.h"
#include "models/detection/objects.h"

namespace plumb::methods {

struct SceneOptions {
  int64_t size = 48;  ///< height and width in pixels
  int64_t min_digits = 1, max_digits = 4;
  int64_t min_side = 12, max_side = 22;  ///< of a digit's square in pixels, margins included
  /// The class of each digit 0 … 9; −1: it does not occur. By default round, straight and open digits.
  std::vector<int64_t> class_of_digit = {0, 1, 2, 2, 1, 2, 0, 1, 0, 0};
  int64_t clutter = 3;      ///< pieces of digits, which are no objects, below the digits
  double background = 0.5;  ///< what pictures are multiplied by
  double noise = 0.05;      ///< deviation of the normal noise on each pixel
};

struct Scenes {
  Tensor images;             ///< f32 [n, 1, size, size] in [0, 1]
  detection::Objects truth;  ///< padded to max_digits; a box is the smallest about the pixels with at least a fifth of full ink
};

/// n scenes with glyphs from `digits` (image [1, 8, 8], label) on pictures from `backgrounds` [m, 1, H, W]. Digits do not overlap by more
/// than a twentieth (IoU of their boxes); one for which 30 places do not do is left out, but the first never. What is drawn comes from the
/// generator. Throws ValueError for options out of range or digits of which none has a class, ShapeError for other backgrounds.
Scenes digit_scenes(int64_t n, const data::Dataset& digits, const Tensor& backgrounds, const SceneOptions& options, Generator& generator);

/// The scenes named by index i64 [m].
Scenes select_scenes(const Scenes& scenes, const Tensor& index);

}  // namespace plumb::methods

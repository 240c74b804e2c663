// Images whose parts are known: each class is three digits, somewhere on a texture.
#pragma once
#include <array>
#include <cstdint>

#include "engine/core/generator.h"
#include "engine/data/dataset.h"
#include "methods/representation/proto_eval/part_hits.h"

namespace plumb::methods::proto_eval {

/// The digits of each class; two classes share one at most.
inline constexpr std::array<std::array<int64_t, 3>, 6> kClassParts{{{0, 1, 2}, {0, 3, 4}, {1, 3, 5}, {2, 4, 5}, {6, 7, 8}, {6, 0, 9}}};

struct PartImageOptions {
  int64_t size = 48;        ///< of the images; digits have 8 × 8 pixels
  double hidden = 0.2;      ///< chance that one of the three parts is left out
  double background = 0.4;  ///< what textures are multiplied by
  double noise = 0.05;      ///< deviation of the normal noise on each pixel
};

struct PartImages {
  Tensor images;  ///< f32 [n, 1, size, size]
  Tensor labels;  ///< i64 [n], image i has class i mod 6
  Parts parts;    ///< the middles of the three digits, in the order of kClassParts
  int64_t size() const { return labels.numel(); }
  /// Of the class that has fewest: its images with every part visible.
  int64_t least_complete() const;
};

/// n images with glyphs from `digits` (image [1, 8, 8], label) on textures from `backgrounds` [m, 1, H, W]. Each digit lies anywhere in the
/// image, without overlap, so that a place says nothing about a part. Throws ValueError for options out of range, fewer images than
/// classes, or a digit that none of the glyphs shows; ShapeError for other backgrounds.
PartImages part_images(int64_t n, const data::Dataset& digits, const Tensor& backgrounds, const PartImageOptions& options,
                       Generator& generator);

/// Images with one digit each, of any kind and anywhere: what a backbone can learn digits from before it meets their combinations.
struct DigitImages {
  Tensor images;  ///< f32 [n, 1, size, size]
  Tensor labels;  ///< i64 [n], the digit
};
/// As part_images, of images that are smaller than those (options.size, 8 at least); nothing is left out. Throws as part_images.
DigitImages digit_images(int64_t n, const data::Dataset& digits, const Tensor& backgrounds, const PartImageOptions& options,
                         Generator& generator);

}  // namespace plumb::methods::proto_eval

// The shapes of images that the PNG and JPEG writers take.
#pragma once
#include "engine/core/tensor.h"

namespace plumb {

struct ImageGeometry {
  int64_t height, width, channels;
};

/// Of u8 [H, W] (one channel) or [H, W, C]. Throws DTypeError or ShapeError naming `format` for another tensor, an empty one, or a side
/// beyond `largest`.
inline ImageGeometry image_geometry(const char* format, const Tensor& image, int64_t largest) {
  if (image.dtype() != u8)
    throw DTypeError(std::string(format) + ": an image must be u8, this tensor is " + std::string(name(image.dtype())));
  const Shape& s = image.shape();
  if (s.rank() != 2 && s.rank() != 3)
    throw ShapeError(std::string(format) + ": an image must be [height, width, channels], this tensor is " + to_string(s));
  ImageGeometry g{s[0], s[1], s.rank() == 3 ? s[2] : 1};
  if (g.height < 1 || g.width < 1 || g.height > largest || g.width > largest)
    throw ShapeError(std::string(format) + ": the sides must lie between 1 and " + std::to_string(largest) + ", this tensor is " +
                     to_string(s));
  return g;
}

}  // namespace plumb

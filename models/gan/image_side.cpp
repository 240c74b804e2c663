// Halving a side until it is small.
#include "models/gan/image_side.h"

#include <string>

#include "engine/core/error.h"

namespace plumb::gan {

ImageSide ImageSide::of(int64_t side, const char* model) {
  ImageSide s{side, 0};
  while (s.start >= 8 && s.start % 2 == 0) s = {s.start / 2, s.doublings + 1};
  if (s.doublings < 1 || s.start < 4 || s.start > 7)
    throw ConfigError(std::string(model) + ": images of side " + std::to_string(side) +
                      " cannot be grown; the side must be 4, 5, 6 or 7 times a power of two from 2 on (8, 28, 32, 64, …)");
  return s;
}

}  // namespace plumb::gan

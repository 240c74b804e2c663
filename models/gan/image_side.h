// How generators grow images: from a small square, doubled several times.
#pragma once
#include <cstdint>

namespace plumb::gan {

/// side = start · 2^doublings with start from 4 to 7 (8 = 4·2, 28 = 7·4, 32 = 4·8, 64 = 4·16).
struct ImageSide {
  int64_t start = 0, doublings = 0;
  /// Throws ConfigError naming `model` if `side` is below 8 or has no such form.
  static ImageSide of(int64_t side, const char* model);
};

}  // namespace plumb::gan

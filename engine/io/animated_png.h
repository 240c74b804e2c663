// Short clips as animated PNG (APNG), which every browser plays and every reader of PNG shows the first frame of.
#pragma once
#include <string>

#include "engine/core/tensor.h"

namespace plumb {

/// Frames u8 [F, H, W, C], C from 1 to 4, each shown for `milliseconds`, over and over. One frame is a plain PNG. Throws DTypeError or
/// ShapeError for another tensor, ValueError unless 1 ≤ milliseconds ≤ 65535.
std::string encode_animated_png(const Tensor& frames, int milliseconds = 200);
/// Writes the same, atomically.
void save_animated_png(const std::string& path, const Tensor& frames, int milliseconds = 200);

}  // namespace plumb

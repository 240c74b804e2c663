// Small scenes for segmentation: discs, bars and rings of different size, colour and contrast on a texture, with exact masks.
#pragma once
#include "engine/core/generator.h"
#include "engine/core/tensor.h"

namespace plumb::methods::adele {

struct Scenes {
  Tensor images;  ///< f32 [n, 3, size, size]
  Tensor masks;   ///< i64 [n, size, size]: 0 background, 1 disc (strong red), 2 bar (green), 3 ring (faint blue)
};

/// n scenes: two waves about ½ as the background, each class once with probability 0.8 (at least one of them), later ones hiding earlier
/// ones, and normal noise of deviation `noise` on every value. Throws ValueError unless n ≥ 1 and size ≥ 16.
Scenes make_scenes(int64_t n, int64_t size, Generator& generator, double noise = 0.15);

}  // namespace plumb::methods::adele

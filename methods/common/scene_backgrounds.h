// Pictures that rendered scenes are drawn on.
#pragma once
#include <string>

#include "engine/core/generator.h"
#include "engine/core/tensor.h"

namespace plumb::methods {

/// Pictures to draw scenes on, grey, f32 [n, 1, H, W]; training and test scenes have different ones.
struct Backgrounds {
  Tensor train, test;
  std::string source;  ///< "CIFAR-10 images", or "generated textures" where the data directory has none
};
/// 200 smooth random textures for each part, drawn from the generator.
Backgrounds generated_backgrounds(Generator& generator);
/// The CIFAR-10 images cifar10/test_batch.bin of the data directory ("": PLUMB_DATA, or "data"), made grey, one half for training and one
/// for testing; without them generated ones. Throws IoError for a damaged file.
Backgrounds scene_backgrounds(Generator& generator, const std::string& directory = "");

}  // namespace plumb::methods

// Photographs where there are some, else smooth noise.
#include "methods/common/scene_backgrounds.h"

#include "engine/data/files.h"
#include "engine/data/images.h"
#include "ops/join.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/vision.h"

namespace plumb::methods {

static Tensor textures(int64_t n, Generator& g) {
  auto smooth = [&](int64_t cells) {
    return interpolate(rand({n, 1, cells, cells}, {.generator = &g}), {.size = Size2(32), .mode = Interpolation::linear});
  };
  return smooth(4) * 0.7 + smooth(12) * 0.3;
}

Backgrounds generated_backgrounds(Generator& g) {
  Tensor train = textures(200, g), test = textures(200, g);
  return {train, test, "generated textures"};
}

Backgrounds scene_backgrounds(Generator& g, const std::string& directory) {
  std::string file = data::find_optional_data_file(directory, "cifar10", "test_batch.bin");
  if (file.empty()) return generated_backgrounds(g);
  data::Dataset images = data::cifar_images({file});
  std::vector<Tensor> grey;
  for (int64_t i = 0; i < images.size(); ++i) grey.push_back(mean(images[i].image, {0}, true));
  Tensor all = stack(grey);
  int64_t half = all.size(0) / 2;
  return {narrow(all, 0, 0, half), narrow(all, 0, half, all.size(0) - half), "CIFAR-10 images"};
}

}  // namespace plumb::methods

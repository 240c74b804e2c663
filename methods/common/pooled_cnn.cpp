// A small convolutional network for images of any size.
#include "methods/common/pooled_cnn.h"

#include <algorithm>

#include "models/require.h"
#include "ops/activation.h"
#include "ops/pool.h"
#include "ops/shape.h"

namespace plumb::methods {
namespace {

// Parts along a side that two convolutions of stride 2 made a quarter as long.
int64_t parts(int64_t side) { return std::min<int64_t>(4, (side + 3) / 4); }

const PooledCnnConfig& checked(const PooledCnnConfig& c) {
  c.check();
  return c;
}

}  // namespace

void PooledCnnConfig::check() const {
  require_positive("pooled cnn", {{"channels", channels}, {"height", height}, {"width", width}, {"first", first}, {"features", features}});
  require(classes >= 2, "pooled cnn: classes must be at least 2, they are " + std::to_string(classes));
}

Size2 pooled_parts(int64_t height, int64_t width) { return {parts(height), parts(width)}; }

PooledCnn::PooledCnn(const PooledCnnConfig& c)
    : conv1(this, "conv1", checked(c).channels, c.first, 3, {.padding = 1, .bias = false}),
      bn1(this, "bn1", c.first),
      conv2(this, "conv2", c.first, 2 * c.first, 3, {.stride = 2, .padding = 1, .bias = false}),
      bn2(this, "bn2", 2 * c.first),
      conv3(this, "conv3", 2 * c.first, 4 * c.first, 3, {.stride = 2, .padding = 1, .bias = false}),
      bn3(this, "bn3", 4 * c.first),
      fc(this, "fc", 4 * c.first * parts(c.height) * parts(c.width), c.features),
      head(this, "head", c.features, c.classes),
      pooled_(pooled_parts(c.height, c.width)) {}

Tensor PooledCnn::stage(size_t k, const Tensor& x) const {
  switch (k) {
    case 0: return leaky_relu(bn1(conv1(x)), 0.1);
    case 1: return leaky_relu(bn2(conv2(x)), 0.1);
    case 2: return leaky_relu(bn3(conv3(x)), 0.1);
    case 3: return leaky_relu(fc(flatten(adaptive_avg_pool2d(x, pooled_), 1)), 0.1);
    default: throw IndexError("pooled cnn: stage " + std::to_string(k) + " is outside [0, 4)");
  }
}

Tensor PooledCnn::features(const Tensor& images) const {
  Tensor x = images;
  for (size_t k = 0; k < stage_count(); ++k) x = stage(k, x);
  return x;
}

}  // namespace plumb::methods

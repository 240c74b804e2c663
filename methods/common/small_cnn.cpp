// The small convolutional network of the semi-supervised experiments.
#include "methods/common/small_cnn.h"

#include "ops/activation.h"
#include "ops/shape.h"

namespace plumb::methods {

SmallCnn::SmallCnn(const SmallCnnConfig& c)
    : conv1(this, "conv1", c.channels, c.width, 3, {.padding = 1, .bias = false}),
      bn1(this, "bn1", c.width),
      conv2(this, "conv2", c.width, 2 * c.width, 3, {.stride = 2, .padding = 1, .bias = false}),
      bn2(this, "bn2", 2 * c.width),
      fc(this, "fc", 2 * c.width * ((c.side + 1) / 2) * ((c.side + 1) / 2), c.features),
      head(this, "head", c.features, c.classes) {}

Tensor SmallCnn::features(const Tensor& images) const {
  Tensor x = leaky_relu(bn1(conv1(images)), 0.1);
  x = leaky_relu(bn2(conv2(x)), 0.1);
  return leaky_relu(fc(flatten(x, 1)), 0.1);
}

}  // namespace plumb::methods

// The pooled network: its size, images of any shape, and bad configurations.
#include "methods/common/pooled_cnn.h"

#include <doctest/doctest.h>

#include "engine/core/error.h"
#include "ops/create.h"

using namespace plumb;
using namespace plumb::methods;

TEST_CASE("pooled cnn: at most 0.2 million parameters, for images of any size") {
  PooledCnn cifar;
  // 3·16·9 + 16·32·9 + 32·64·9 kernels, twice 16 + 32 + 64 of the norms, 1024·64 + 64 and 64·10 + 10 of the layers
  CHECK(cifar.num_parameters() == 432 + 4608 + 18432 + 224 + 65600 + 650);
  CHECK(cifar(zeros({2, 3, 32, 32})).shape() == Shape{2, 10});
  PooledCnn tiny({.channels = 1, .height = 5, .width = 9, .classes = 3, .first = 4, .features = 8});
  CHECK(tiny.features(zeros({2, 1, 5, 9})).shape() == Shape{2, 8});
  CHECK(tiny.fc.weight.shape() == Shape{8, 16 * 2 * 3});
}

TEST_CASE("pooled cnn: what makes no network is named") {
  CHECK_THROWS_WITH_AS(PooledCnn({.channels = 0}), "pooled cnn: channels must be at least 1, it is 0", ConfigError);
  CHECK_THROWS_WITH_AS(PooledCnn({.classes = 1}), "pooled cnn: classes must be at least 2, they are 1", ConfigError);
}

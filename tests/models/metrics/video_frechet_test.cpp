// Distances of videos: frames and motion are told apart.
#include <doctest/doctest.h>

#include <cmath>

#include "models/metrics/video_frechet.h"
#include "ops/join.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"

using namespace plumb;

TEST_CASE("video fréchet: the same videos are at 0; still ones have right frames and wrong motion; shifted grey the other way round") {
  manual_seed(1);
  // frames of independent numbers: differences have twice the variance
  Tensor real = randn({3000, 1, 4, 1, 2}, {.dtype = f64});
  metrics::VideoStatistics statistics(real);
  metrics::VideoDistance same = statistics.distance(real);
  CHECK(same.frames < 1e-9);
  CHECK(same.motion < 1e-9);
  Tensor still = expand(narrow(real, 2, 0, 1), {3000, 1, 4, 1, 2});
  metrics::VideoDistance frozen = statistics.distance(still);
  CHECK(frozen.frames < 0.02);                                     // two samples of one distribution
  CHECK(frozen.motion == doctest::Approx(2 * 2.0).epsilon(0.05));  // the trace of the differences' covariance: two numbers of variance 2
  metrics::VideoDistance brighter = statistics.distance(real + 3.0);
  CHECK(brighter.frames == doctest::Approx(2 * 9.0).epsilon(1e-6));
  CHECK(brighter.motion < 1e-9);
}

TEST_CASE("video fréchet: features of images take the place of pixels; what is no video is refused") {
  manual_seed(2);
  Tensor real = randn({200, 1, 3, 2, 2}, {.dtype = f64});
  metrics::VideoStatistics means(real, [](const Tensor& images) { return mean(flatten(images, 1), {1}, true); });
  Tensor turned = flip(real, {3, 4});
  CHECK(means.distance(turned).frames < 1e-9);
  CHECK(means.distance(turned * 2.0).frames > 0.01);
  CHECK(std::isinf(means.distance(turned / 0.0).frames));
  CHECK_THROWS_WITH_AS(metrics::VideoStatistics(zeros({2, 1, 4, 4})), "video_frechet: takes videos [n, C, F, H, W], got [2, 1, 4, 4]",
                       ShapeError);
  CHECK_THROWS_WITH_AS(metrics::VideoStatistics(zeros({2, 1, 1, 4, 4})), "video_frechet: motion needs two frames, there are 1", ValueError);
}

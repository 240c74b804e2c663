// Standardised latents and back.
#include <doctest/doctest.h>

#include <cmath>

#include "models/diffusion/latent_standardizer.h"
#include "ops/elementary.h"
#include "ops/join.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "tests/ops/samples.h"

using namespace plumb;
using namespace plumb::diffusion;

TEST_CASE("latent_standardizer: every channel, or every number, gets mean 0 and deviation 0.5, and comes back") {
  Tensor x = test::sample({50, 3, 2, 2}, 1, f32) * reshape(tensor({1.0, 7.0, 0.01}), {1, 3, 1, 1}) +
             reshape(tensor({0.0, 4.0, -2.0}), {1, 3, 1, 1});
  for (bool each : {false, true}) {
    LatentStandardizer s = LatentStandardizer::fit(x, {.each_number = each});
    Tensor y = s.apply(x);
    std::vector<int> dims = each ? std::vector<int>{0} : std::vector<int>{0, 2, 3};
    CHECK(max(abs(mean(y, dims))).item() < 1e-5);
    CHECK(max(abs(std_dev(y, dims, 0) - 0.5)).item() < 1e-5);
    CHECK(test::difference(s.invert(y), x) < 1e-6);
    CHECK(test::same_bits(LatentStandardizer::from_state(s.state()).apply(x), y));
  }
  Tensor flat = test::sample({9, 4}, 2);
  CHECK(test::difference(LatentStandardizer::fit(flat).invert(LatentStandardizer::fit(flat).apply(flat)), flat) < 1e-12);
}

TEST_CASE("latent_standardizer: a channel that does not vary, or too few latents, is an error of one line") {
  Tensor constant = cat({test::sample({4, 1}, 1), ones({4, 1}, f64)}, 1);
  CHECK_THROWS_WITH_AS(LatentStandardizer::fit(constant), "latent_standardizer: channel 1 does not vary over the 4 latents", ValueError);
  CHECK_THROWS_WITH_AS(LatentStandardizer::fit(ones({1, 3})), "latent_standardizer: takes at least 2 latents [n, C, ..], got [1, 3]",
                       ShapeError);
  CHECK_THROWS_WITH_AS(LatentStandardizer::from_state({}), "latent_standardizer: the state has no \"mean\"", ValueError);
  CHECK_THROWS_AS(LatentStandardizer::fit(test::sample({4, 2}, 1), {.deviation = 0}), ValueError);
}

TEST_CASE("kurtosis: 3 for a normal distribution, exact for two values, large with a few outliers") {
  Generator g(1);
  CHECK(kurtosis(randn({100'000}, {.generator = &g})) == doctest::Approx(3).epsilon(0.03));
  CHECK(kurtosis(tensor({-1.0, 1.0, 1.0, -1.0})) == doctest::Approx(1).epsilon(1e-12));
  Tensor far = cat({randn({970}, {.generator = &g}), randn({30}, {.generator = &g}) * 10.0});
  CHECK(kurtosis(far) > 20);
  CHECK_THROWS_WITH_AS(kurtosis(ones({3})), "kurtosis: the 3 numbers do not vary", ValueError);
}

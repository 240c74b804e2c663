// Digits as a generation problem: their scale, distances, teacher and oracle.
#include <doctest/doctest.h>

#include <cmath>

#include "methods/common/digit_generation.h"
#include "methods/common/digit_oracle.h"
#include "models/diffusion/sampler.h"
#include "ops/index.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "tests/ops/samples.h"

using namespace plumb;
using namespace plumb::methods;

TEST_CASE("DigitVectors: mean 0, deviation 0.5 over all pixels, and back to pixels") {
  DigitVectors digits;
  CHECK(digits.rows.shape() == Shape{1797, 64});
  CHECK(std::abs(mean(digits.rows).item()) < 1e-6);
  CHECK(std_dev(digits.rows, {}, 0).item() == doctest::Approx(0.5).epsilon(1e-5));
  Tensor images = digits.images(digits.rows);
  CHECK(images.shape() == Shape{1797, 1, 8, 8});
  CHECK(min(images).item() == doctest::Approx(0).epsilon(1e-6));
  CHECK(max(images).item() == doctest::Approx(1).epsilon(1e-6));
  Tensor wild = digits.clipped(digits.rows * 10);
  CHECK(max(wild).item() == doctest::Approx(max(digits.rows).item()).epsilon(1e-5));
  CHECK(min(wild).item() == doctest::Approx(min(digits.rows).item()).epsilon(1e-5));
}

TEST_CASE("DigitVectors: the distance is 0 for the digits, their total variance for one mean image, small for a sample of them") {
  DigitVectors digits;
  CHECK(digits.frechet_distance(digits.rows) < 1e-6);
  CHECK(digits.frechet_distance(expand(mean(digits.rows, {0}, true), {50, 64})) == doctest::Approx(8.30173).epsilon(1e-4));
  Generator g(1);
  double half = digits.frechet_distance(digits.batch(900, g));
  CHECK((half > 0.005 && half < 0.2));
  CHECK(std::isinf(digits.frechet_distance(full({4, 64}, NAN))));
}

TEST_CASE("train_denoiser: a few steps beat the mean image, and follow from the generator alone") {
  DigitVectors digits;
  auto made = [&] {
    manual_seed(3);
    return train_denoiser(digits, {.steps = 60}, [](double) {});
  };
  diffusion::TimeMlp network = made();
  CHECK(test::same_bits(made().parameters()[0], network.parameters()[0]));
  Tensor x = digits.batch(200), z = randn_like(x), sigma = full({200}, 0.5);
  double error = mean(square(denoiser(network)(x + z * 0.5, sigma) - x)).item();
  CHECK(error < 0.25 * 0.25 / 0.5);  // 0.125: the best that knows no more than each pixel's scale
  CHECK_THROWS_WITH_AS(few_step_levels(0), "few_step_levels: the number of steps must be at least 1, it is 0", ValueError);
  CHECK(few_step_levels(1) == std::vector<double>{80});
  CHECK(few_step_levels(18).size() == 18);
}

TEST_CASE("DigitOracle: knows digits that it has not seen, and tells one digit from all") {
  DigitVectors digits;
  manual_seed(1);
  DigitOracle oracle(digits, 800);
  CHECK(oracle.accuracy() >= 0.96);
  DigitDivision all = division(oracle, digits.rows);
  CHECK(all.certain > 0.9);
  CHECK(all.imbalance < 0.02);
  Tensor ones_only = index_select(digits.rows, 0, squeeze(nonzero(digits.labels == 1), 1));
  CHECK(division(oracle, ones_only).imbalance > 0.85);
  manual_seed(2);
  CHECK(division(oracle, randn({500, 64}) * 0.5).certain < all.certain);
  CHECK(oracle.features(digits.rows).shape() == Shape{1797, 64});
  CHECK_THROWS_WITH_AS(division(oracle, zeros({0, 64})), "division: takes samples [n, 64], got [0, 64]", ShapeError);
}

TEST_CASE("train_consistency_model: a few steps lead noise nearer to the digits than their mean image is") {
  DigitVectors digits;
  manual_seed(5);
  diffusion::TimeMlp network = train_consistency_model(digits, {.steps = 120}, [](double) {});
  Tensor x = digits.batch(20), least = full({20}, 0.002);
  CHECK(test::same_bits(consistency_model(network)(x, least), x));
  Tensor made = consistency_model(network)(randn({500, 64}) * 80.0, full({500}, 80.0));
  CHECK(digits.frechet_distance(made) < 12);  // 24.3 for noise of the digits' deviation, 8.3 for their mean image
}

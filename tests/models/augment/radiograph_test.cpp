// What may differ between two radiographs: how often, how much, and what stays.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "engine/core/error.h"
#include "models/augment/radiograph.h"
#include "ops/random.h"

using namespace plumb;
using namespace plumb::augment;

namespace {
std::vector<float> values(const Tensor& x) { return to_vector<float>(x); }
}  // namespace

TEST_CASE("radiograph: gamma is one power an image, for the given share of images") {
  Generator g(1);
  auto out = values(random_gamma(full({400, 1, 1, 2}, 0.25), 0.5, 1.5, 0.5, g));
  int changed = 0;
  for (size_t i = 0; i < out.size(); i += 2) {
    CHECK(out[i] == out[i + 1]);
    CHECK(out[i] <= 0.5f);    // 0.25 ^ 0.5
    CHECK(out[i] >= 0.125f);  // 0.25 ^ 1.5
    changed += out[i] != 0.25f;
  }
  CHECK(std::abs(changed - 200) < 45);  // 4.5 deviations of 10
  CHECK(values(random_gamma(full({2, 1, 1, 1}, 0.25), 2, 2, 1, g)) == std::vector<float>{0.0625f, 0.0625f});
  CHECK_THROWS_WITH_AS(random_gamma(zeros({1, 1, 1, 1}), 0, 1, 1, g), "random_gamma: gamma must be positive, it starts at 0",
                       ValueError);
}

TEST_CASE("radiograph: noise has the deviation asked for and stays in [0, 1]") {
  Generator g(2);
  auto out = values(random_noise(full({100, 1, 10, 10}, 0.5), 0.05, 0.05, 1, g));
  double squares = 0;
  for (float v : out) squares += (static_cast<double>(v) - 0.5) * (static_cast<double>(v) - 0.5);
  CHECK(squares / 1e4 == doctest::Approx(0.0025).epsilon(0.065));  // relative deviation 0.014
  auto black = values(random_noise(zeros({50, 1, 4, 4}), 0.1, 0.3, 1, g));
  CHECK(std::ranges::all_of(black, [](float v) { return v >= 0 && v <= 1; }));
  CHECK(values(random_noise(full({3, 1, 2, 2}, 0.5), 0.1, 0.1, 0, g)) == std::vector<float>(12, 0.5f));
  CHECK_THROWS_WITH_AS(random_noise(zeros({1, 1, 1, 1}), 0.3, 0.1, 1, g), "random_noise: the range from 0.3 to 0.1 is not one",
                       ValueError);
  CHECK_THROWS_WITH_AS(random_noise(zeros({1, 1, 1, 1}), 0, 0.1, 2, g), "random_noise: the rate must lie in [0, 1], it is 2",
                       ValueError);
}

TEST_CASE("radiograph: the view changes images, depends on the generator alone, and can be switched off") {
  Generator g(3);
  Tensor x = rand({6, 1, 8, 8}, {.generator = &g});
  auto once = [&](uint64_t seed) {
    Generator own(seed);
    return values(radiograph_view()(x, own));
  };
  CHECK(once(4) == once(4));
  CHECK(once(4) != once(5));
  CHECK(once(4) != values(x));
  View off = radiograph_view({.noise_rate = 0, .degrees = 0, .padding = 0, .gamma_rate = 0});
  auto same = values(off(x, g)), original = values(x);
  for (size_t k = 0; k < same.size(); ++k) CHECK(std::abs(same[k] - original[k]) < 1e-6f);
  CHECK_THROWS_WITH_AS(radiograph_view({.padding = -1}), "radiograph_view: padding must not be negative, it is -1", ValueError);
  CHECK_THROWS_WITH_AS(radiograph_view({.degrees = -1}), "radiograph_view: degrees must not be negative, it is -1", ValueError);
  CHECK_THROWS_WITH_AS(radiograph_view({.gamma_low = 2, .gamma_high = 1}),
                       "radiograph_view: the range from 2 to 1 is not one", ValueError);
}

// Coloured digits: labels and colours are turned as often as asked for, images hold the digit in its colour's channel.
#include "engine/data/colored_digits.h"

#include <doctest/doctest.h>

#include <set>

#include "engine/data/digits/digits.h"

using namespace plumb;

TEST_CASE("colored_digits: labels follow the digits and colours the labels, but for the share of flips") {
  data::Dataset digits = data::digits().all();
  data::Dataset colored = data::colored_digits(digits, {.color_flip = 0.2, .label_flip = 0.25, .seed = 3});
  REQUIRE(colored.size() == digits.size());
  int64_t n = digits.size(), label_flips = 0, color_flips = 0;
  for (int64_t i = 0; i < n; ++i) {
    data::Sample s = colored[i];
    int64_t digit = s["digit"].item<int64_t>(), label = s.label.item<int64_t>(), color = s["color"].item<int64_t>();
    REQUIRE(digit == digits[i].label.item<int64_t>());
    label_flips += label != (digit < 5);
    color_flips += color != label;
    std::vector<double> image = to_vector(s.image), grey = to_vector(digits[i].image);
    for (size_t k = 0; k < 64; ++k) {
      CHECK(image[static_cast<size_t>(color) * 64 + k] == grey[k]);
      CHECK(image[static_cast<size_t>(1 - color) * 64 + k] == 0);
    }
  }
  // 1,797 draws: the standard deviations are below 0.011, and seeds are fixed.
  CHECK(static_cast<double>(label_flips) / static_cast<double>(n) == doctest::Approx(0.25).epsilon(0.15));
  CHECK(static_cast<double>(color_flips) / static_cast<double>(n) == doctest::Approx(0.2).epsilon(0.15));
}

TEST_CASE("colored_digits: an example's draws depend on its index alone") {
  data::Dataset digits = data::digits().all();
  data::Dataset all = data::colored_digits(digits, {.seed = 1}), some = data::colored_digits(digits.skip(100), {.seed = 1});
  for (int64_t i = 0; i < 50; ++i) CHECK(to_vector(all[100 + i].image) == to_vector(some[i].image));
  data::Dataset other = data::colored_digits(digits, {.seed = 2});
  int differ = 0;
  for (int64_t i = 0; i < 200; ++i) differ += all[i]["color"].item<int64_t>() != other[i]["color"].item<int64_t>();
  CHECK(differ > 50);
}

TEST_CASE("colored_digits: grey digits are in both channels, a stride keeps every second row and column") {
  data::Dataset digits = data::digits().all();
  data::Sample grey = data::colored_digits(digits, {.grey = true, .stride = 2})[7];
  CHECK(grey.image.shape() == Shape{2, 4, 4});
  std::vector<double> image = to_vector(grey.image), full = to_vector(digits[7].image);
  for (size_t y = 0; y < 4; ++y)
    for (size_t x = 0; x < 4; ++x) {
      CHECK(image[y * 4 + x] == full[2 * y * 8 + 2 * x]);
      CHECK(image[16 + y * 4 + x] == full[2 * y * 8 + 2 * x]);
    }
}

TEST_CASE("imbalanced_environments: 97 % of one half and 3 % of the other") {
  std::vector<int64_t> digits;
  for (int64_t i = 0; i < 1000; ++i) digits.push_back(i % 10);
  auto low = [&](const std::vector<int64_t>& places) {
    int64_t count = 0;
    for (int64_t p : places) count += digits[static_cast<size_t>(p)] < 5;
    return count;
  };
  auto [first, second] = data::imbalanced_environments(digits, {.seed = 4});
  CHECK(first.size() == 500);
  CHECK(second.size() == 500);
  CHECK(low(first) == 485);
  CHECK(low(second) == 15);
  std::set<int64_t> all(first.begin(), first.end());
  all.insert(second.begin(), second.end());
  CHECK(all.size() == 1000);

  // Released: cuts at 970 and 30 of 1,000, of which only 500 are in each half.
  auto [released, rest] = data::imbalanced_environments(digits, {.as_released = true});
  CHECK(low(released) == 500);
  CHECK(released.size() == 530);
  CHECK(low(rest) == 0);
  CHECK(rest.size() == 470);
}

TEST_CASE("colored_digits: bad options are named") {
  data::Dataset digits = data::digits().all();
  CHECK_THROWS_WITH_AS(data::colored_digits(digits, {.color_flip = 1.5}), "colored_digits: the colour flip must lie in [0, 1], it is 1.5",
                       ValueError);
  CHECK_THROWS_WITH_AS(data::colored_digits(digits, {.label_flip = -0.1}), "colored_digits: the label flip must lie in [0, 1], it is -0.1",
                       ValueError);
  CHECK_THROWS_WITH_AS(data::colored_digits(digits, {.stride = 0}), "colored_digits: the stride must be at least 1, it is 0", ValueError);
  CHECK_THROWS_WITH_AS(data::imbalanced_environments({1, 2}, {.share = 0.3}),
                       "imbalanced_environments: the share must lie in [0.5, 1], it is 0.3", ValueError);
  data::Dataset flat = data::from_tensors({{"image", zeros({2, 64})}, {"label", tensor({1, 2})}});
  CHECK_THROWS_WITH_AS(data::colored_digits(flat)[0], "colored_digits: takes images [1, H, W], got [64]", ShapeError);
}

// Corruptions: moments of the noises, what blurs keep, and that severity makes things worse.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "engine/core/parallel.h"
#include "engine/data/dataset.h"
#include "engine/data/digits/digits.h"
#include "models/augment/corruption.h"
#include "ops/elementary.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"

using namespace plumb;
using namespace plumb::augment;

namespace {

std::vector<double> values(const Tensor& x) { return to_vector(x); }
double mean_of(const Tensor& x) { return mean(x).item(); }
Tensor dot(int64_t side) {
  Tensor x = zeros({1, 1, side, side});
  x.data<float>()[side * side / 2] = 1;
  return x;
}
double variance_along_x(const Tensor& y, int64_t side) {
  auto v = to_vector(y);
  double total = 0;
  for (int64_t p = 0; p < side * side; ++p) total += v[static_cast<size_t>(p)] * std::pow(static_cast<double>(p % side - side / 2), 2);
  return total;
}

}  // namespace

TEST_CASE("corruption: noises have their moments") {
  Generator g(1);
  Tensor grey = full({20, 1, 20, 20}, 0.5);  // 8,000 numbers
  Tensor noisy = gaussian_noise(grey, 0.1, g);
  CHECK(std::abs(mean_of(noisy) - 0.5) < 4.5 * 0.1 / std::sqrt(8000.0));
  CHECK(std_dev(noisy).item() == doctest::Approx(0.1).epsilon(0.036));  // relative deviation 0.0079
  CHECK(std_dev(speckle_noise(grey, 0.2, g)).item() == doctest::Approx(0.1).epsilon(0.036));
  for (double photons : {20.0, 200.0}) {  // both ways of drawing
    Tensor shot = shot_noise(grey, photons, g);
    double deviation = std::sqrt(0.5 / photons);
    CHECK(std::abs(mean_of(shot) - 0.5) < 4.5 * deviation / std::sqrt(8000.0));
    CHECK(std_dev(shot).item() == doctest::Approx(deviation).epsilon(0.04));
  }
  auto impulse = values(impulse_noise(grey, 0.25, g));
  double zeros_seen = static_cast<double>(std::ranges::count(impulse, 0.0)),
         ones_seen = static_cast<double>(std::ranges::count(impulse, 1.0));
  CHECK(std::abs(zeros_seen - 1000) < 135);  // 4.5 deviations of 29.6
  CHECK(std::abs(ones_seen - 1000) < 135);
}

TEST_CASE("corruption: blurs spread a dot by their variance, keep its sum and leave a constant alone") {
  Generator g(2);
  Tensor x = dot(15), flat = full({1, 2, 9, 7}, 0.3);
  auto check = [&](const Tensor& spread, const Tensor& constant) {
    CHECK(sum(spread).item() == doctest::Approx(1).epsilon(1e-4));
    CHECK(max(spread).item() < 0.9);
    for (double v : values(constant)) CHECK(v == doctest::Approx(0.3).epsilon(1e-5));
  };
  check(gaussian_blur(x, 1), gaussian_blur(flat, 1));
  check(box_blur(x, 3), box_blur(flat, 3));
  check(defocus_blur(x, 2), defocus_blur(flat, 2));
  check(motion_blur(x, 5, g), motion_blur(flat, 5, g));
  CHECK(variance_along_x(gaussian_blur(x, 1.3), 15) == doctest::Approx(1.69).epsilon(5e-3));
  CHECK(variance_along_x(box_blur(x, 5), 15) == doctest::Approx(2).epsilon(1e-5));              // (side² − 1) / 12
  CHECK(variance_along_x(defocus_blur(x, 4), 15) == doctest::Approx(4 + 1.0 / 12).epsilon(0.03));  // r² / 4 of a disk, and a pixel's own
  CHECK(values(gaussian_blur(x, 0)) == values(x));
  for (double v : values(zoom_blur(flat, 1.2))) CHECK(v == doctest::Approx(0.3).epsilon(1e-5));
  CHECK(values(zoom_blur(x, 1)) == values(x));
}

TEST_CASE("corruption: brightness, contrast, blocks, fields, storage") {
  Generator g(3);
  Tensor x = from_vector(std::vector<float>{0.0f, 0.2f, 0.4f, 0.9f}, {1, 1, 2, 2});
  CHECK(values(brighten(x, 0.3))[3] == 1);
  CHECK(values(brighten(x, 0.3))[1] == doctest::Approx(0.5));
  CHECK(values(reduce_contrast(x, 0.5))[3] == doctest::Approx(0.375 + 0.5 * 0.525));
  for (double v : values(pixelate(x, 2))) CHECK(v == doctest::Approx(0.375));
  CHECK(values(pixelate(x, 1)) == values(x));
  auto block = values(pixelate(from_vector(std::vector<float>{0, 1, 0.5f}, {1, 1, 1, 3}), 2));
  CHECK(block == std::vector<double>{0.5, 0.5, 0.5});
  Tensor still = rand({2, 1, 8, 8}, {.generator = &g});
  CHECK(values(elastic(still, 0, 2, g)) == values(still));
  CHECK(mean_of(abs(elastic(still, 1, 2, g) - still)) > 0.02);
  CHECK(max(fog(zeros({4, 1, 8, 8}), 1, 2, g)).item() == 0);  // scaled by the image's brightest pixel
  Tensor misty = fog(full({4, 1, 8, 8}, 0.5), 1, 2, g);
  CHECK(std_dev(misty).item() > 0.02);
  CHECK(max(misty).item() <= 0.5 + 1e-6);  // (0.5 + 1) · 0.5 / 1.5
  CHECK(min(misty).item() >= 0.5 / 3 - 1e-6);
  Tensor photo = gaussian_blur(rand({2, 3, 16, 16}, {.generator = &g}), 1);
  double fine = mean_of(abs(jpeg_compression(photo, 95) - photo));
  CHECK(fine < 0.03);
  CHECK(mean_of(abs(jpeg_compression(photo, 5) - photo)) > fine);
}

TEST_CASE("corruption: on digits, the fifth severity is further from the image than the first, and threads do not matter") {
  Tensor x = data::digits().test().batch(32).next().image;
  int before = num_threads();
  for (Corruption c : all_corruptions()) {
    CAPTURE(name(c));
    auto distance = [&](int severity) {
      Generator g(4);
      Tensor y = corrupt(x, c, severity, g);
      CHECK(y.shape() == x.shape());
      CHECK(min(y).item() >= 0);
      CHECK(max(y).item() <= 1 + 1e-6);
      return mean(abs(y - x)).item();
    };
    if (c == Corruption::pixelate) CHECK(distance(5) >= distance(1));  // two-pixel blocks at every severity on 8 × 8
    else CHECK(distance(5) > distance(1));
    double one = distance(3);
    set_num_threads(3);
    CHECK(distance(3) == one);
    set_num_threads(before);
    CHECK(corruption_named(name(c)) == c);
  }
}

TEST_CASE("corruption: mistakes are named") {
  Generator g(5);
  Tensor x = zeros({1, 2, 4, 4});
  CHECK_THROWS_WITH_AS(corrupt(x, Corruption::fog, 6, g), "corrupt: the severity must lie in [1, 5], it is 6", ValueError);
  CHECK_THROWS_WITH_AS(impulse_noise(x, 2, g), "impulse_noise: the share must lie in [0, 1], it is 2", ValueError);
  CHECK_THROWS_WITH_AS(box_blur(x, 2), "box_blur: the side must be odd and positive, it is 2", ValueError);
  CHECK_THROWS_WITH_AS(jpeg_compression(x, 50), "jpeg_compression: takes one or three channels, got [1, 2, 4, 4]", ShapeError);
  CHECK_THROWS_WITH_AS(gaussian_noise(zeros({4}), 1, g), "gaussian_noise: takes images [B, C, H, W], got [4]", ShapeError);
  CHECK_THROWS_AS(corruption_named("rain"), ValueError);
  CHECK(corrupt(zeros({0, 1, 4, 4}), Corruption::fog, 1, g).numel() == 0);
}

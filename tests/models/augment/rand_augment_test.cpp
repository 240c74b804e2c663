// RandAugment: each change on images whose result is known, the policies' ranges, and views that depend on the generator alone.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "engine/core/parallel.h"
#include "models/augment/rand_augment.h"
#include "ops/pointwise.h"

using namespace plumb;
using namespace plumb::augment;

namespace {

std::vector<float> values(const Tensor& x) { return {x.data<float>(), x.data<float>() + x.numel()}; }
Tensor image(std::vector<float> pixels, int64_t height, int64_t width, int64_t channels = 1) {
  return from_vector(pixels, {1, channels, height, width});
}
std::vector<float> changed(const Tensor& x, Change change, double amount) {
  Generator g(1);
  return values(apply_change(x, change, amount, g));
}
void check_close(const std::vector<float>& got, const std::vector<float>& wanted) {
  REQUIRE(got.size() == wanted.size());
  for (size_t i = 0; i < got.size(); ++i) CHECK(got[i] == doctest::Approx(wanted[i]).epsilon(1e-5));
}

}  // namespace

TEST_CASE("rand_augment: changes of value") {
  Tensor x = image({0.0f, 0.2f, 0.4f, 0.8f}, 2, 2);
  check_close(changed(x, Change::invert, 0), {1, 0.8f, 0.6f, 0.2f});
  check_close(changed(x, Change::brightness, 0.5), {0, 0.1f, 0.2f, 0.4f});
  check_close(changed(x, Change::brightness, 2), {0, 0.4f, 0.8f, 1});
  check_close(changed(x, Change::contrast, 0), {0.35f, 0.35f, 0.35f, 0.35f});
  check_close(changed(x, Change::contrast, 0.5), {0.175f, 0.275f, 0.375f, 0.575f});
  check_close(changed(x, Change::auto_contrast, 0), {0, 0.25f, 0.5f, 1});
  check_close(changed(x, Change::solarize, 102), {0, 0.2f, 0.6f, 0.2f});   // levels 0, 51, 102, 204
  check_close(changed(x, Change::solarize, 256), {0, 0.2f, 0.4f, 0.8f});
  check_close(changed(x, Change::posterize, 2), {0, 0, 64.0f / 255, 192.0f / 255});
  check_close(changed(x, Change::posterize, 1.2), {0, 0, 64.0f / 255, 192.0f / 255});  // two bits: rounded up
  Tensor colour = image({1, 0.5f, 0}, 1, 1, 3);
  float grey = 0.299f + 0.587f * 0.5f;
  check_close(changed(colour, Change::color, 0), {grey, grey, grey});
  check_close(changed(colour, Change::color, 1), {1, 0.5f, 0});
}

TEST_CASE("rand_augment: sharpness moves away from the smoothed image inside the border") {
  std::vector<float> pixels(9, 0.5f);
  pixels[4] = 0.9f;
  float smooth = (8 * 0.5f + 5 * 0.9f) / 13;
  auto soft = changed(image(pixels, 3, 3), Change::sharpness, 0);
  CHECK(soft[4] == doctest::Approx(smooth));
  CHECK(soft[0] == 0.5f);
  CHECK(changed(image(pixels, 3, 3), Change::sharpness, 1.2)[4] == doctest::Approx(0.9f + 0.2f * (0.9f - smooth)));
}

TEST_CASE("rand_augment: equalising spreads the levels evenly") {
  // 512 pixels over two neighbouring levels: 256 at 100, 256 at 101. step = (512 − 256) / 255 = 1; level 100 → 0, level 101 → 255.
  std::vector<float> pixels(512, 100.0f / 255);
  std::fill(pixels.begin() + 256, pixels.end(), 101.0f / 255);
  auto flat = changed(image(pixels, 16, 32), Change::equalize, 0);
  CHECK(flat.front() == 0);
  CHECK(flat.back() == 1);
  auto constant = changed(image(std::vector<float>(16, 0.4f), 4, 4), Change::equalize, 0);
  CHECK(constant[3] == doctest::Approx(0.4f));
}

TEST_CASE("rand_augment: changes of place") {
  std::vector<float> pixels(9);
  for (size_t i = 0; i < 9; ++i) pixels[i] = static_cast<float>(i + 1) / 10;
  Tensor x = image(pixels, 3, 3);
  check_close(changed(x, Change::translate_x, 1), {0, 0.1f, 0.2f, 0, 0.4f, 0.5f, 0, 0.7f, 0.8f});
  check_close(changed(x, Change::translate_y, -1), {0.4f, 0.5f, 0.6f, 0.7f, 0.8f, 0.9f, 0, 0, 0});
  check_close(changed(x, Change::rotate, 90), {0.3f, 0.6f, 0.9f, 0.2f, 0.5f, 0.8f, 0.1f, 0.4f, 0.7f});  // counter-clockwise
  check_close(changed(x, Change::rotate, 0), pixels);
  check_close(changed(x, Change::shear_x, 1), {0, 0.1f, 0.2f, 0.4f, 0.5f, 0.6f, 0.8f, 0.9f, 0});
  check_close(changed(x, Change::shear_y, 1), {0, 0.2f, 0.6f, 0.1f, 0.5f, 0.9f, 0.4f, 0.8f, 0});
  auto holes = changed(full({1, 2, 6, 6}, 1.0), Change::cutout, 3.5);
  auto zeros = std::ranges::count(holes, 0.0f);
  CHECK(zeros >= 2 * 4);
  CHECK(zeros <= 2 * 9);
}

TEST_CASE("rand_augment: policies draw within their ranges, with both signs") {
  // One change alone shows what was drawn: brightness on a constant image, translation of a single bright pixel.
  Generator g(2);
  RandAugmentPolicy bright{.changes = {{Change::brightness, 0.2, 0.8, 4}}, .n = 1};
  std::set<int> seen;
  for (float v : values(rand_augment(full({60, 1, 1, 1}, 1.0), bright, g))) seen.insert(static_cast<int>(std::lround(v * 10)));
  CHECK(seen == std::set<int>{2, 4, 6, 8});
  RandAugmentPolicy shift{.changes = {{Change::translate_x, 1, 1, 1, true}}, .n = 1};
  Tensor dot = zeros({40, 1, 1, 3});
  for (int64_t i = 0; i < 40; ++i) dot.data<float>()[3 * i + 1] = 1;
  int left = 0, right = 0;
  Tensor moved = rand_augment(dot, shift, g);
  for (int64_t i = 0; i < 40; ++i) left += moved.data<float>()[3 * i] == 1, right += moved.data<float>()[3 * i + 2] == 1;
  CHECK(left + right == 40);
  CHECK(left > 5);
  CHECK(right > 5);
  // A rate of a half leaves a quarter of the images as they are, and n = 0 all of them.
  RandAugmentPolicy half{.changes = {{Change::invert}}, .n = 1, .rate = 0.5};
  double inverted = 0;
  for (float v : values(rand_augment(zeros({400, 1, 1, 1}), half, g))) inverted += static_cast<double>(v);
  CHECK(std::abs(inverted - 200) < 45);  // 4.5 deviations of 10
  for (const RandAugmentPolicy& p : {uda_policy(), fixmatch_policy(), small_digits_policy()}) {
    auto out = values(rand_augment(full({50, 3, 16, 16}, 0.6), p, g));
    CHECK(std::ranges::all_of(out, [](float v) { return v >= 0 && v <= 1; }));
    CHECK(std::ranges::count(out, 0.0f) >= 50 * 3);  // every image has its cutout
  }
}

TEST_CASE("rand_augment: weak and strong views") {
  Generator g(3);
  Tensor dot = zeros({300, 1, 5, 5});
  for (int64_t i = 0; i < 300; ++i) dot.data<float>()[25 * i + 12] = 1;
  Tensor moved = shift_view(1, 0.5)(dot, g);
  std::set<int64_t> places;
  int stayed = 0;
  for (int64_t i = 0; i < 300; ++i)
    for (int64_t p = 0; p < 25; ++p)
      if (moved.data<float>()[25 * i + p] == 1) places.insert(p), stayed += p == 12;
  CHECK(places == std::set<int64_t>{6, 7, 8, 11, 12, 13, 16, 17, 18});
  CHECK(std::abs(stayed - 300 * (0.5 + 0.5 / 9)) < 39);  // 4.5 deviations of 8.6
  CHECK(flip_crop_view()(zeros({2, 3, 8, 8}), g).shape() == Shape{2, 3, 8, 8});
  auto noise = values(gaussian_view(0.1)(zeros({100, 1, 10, 10}), g));
  double squares = 0;
  for (float v : noise) squares += static_cast<double>(v) * static_cast<double>(v);
  CHECK(squares / 1e4 == doctest::Approx(0.01).epsilon(0.065));  // relative deviation 0.014
}

TEST_CASE("rand_augment: what comes from outside and what is cut out takes the fill's colour") {
  Generator g(6);
  Tensor grey = full({40, 3, 8, 8}, 0.5);
  RandAugmentPolicy p{.changes = {{Change::translate_x, 8, 8}}, .n = 1, .fill = {0.1f, 0.2f, 0.3f}};
  auto moved = values(rand_augment(grey, p, g));  // moved out of sight
  for (size_t k = 0; k < moved.size(); ++k) CHECK(moved[k] == 0.1f * static_cast<float>(1 + k / 64 % 3));
  RandAugmentPolicy square{.changes = {{Change::identity}}, .n = 1, .cutout = 2, .fill = {0.7f}};
  auto cut = values(rand_augment(grey, square, g));
  CHECK(std::ranges::count(cut, 0.7f) > 40 * 3);
  CHECK(std::ranges::count(cut, 0.7f) <= 40 * 3 * 4);
  CHECK(std::ranges::count(cut, 0.0f) == 0);
  p.fill = {0.1f, 0.2f};
  CHECK_THROWS_WITH_AS(rand_augment(grey, p, g), "rand_augment: a fill of 2 values for images of 3 channels", ShapeError);
}

TEST_CASE("rand_augment: results depend on the generator alone, mistakes are named") {
  Tensor x = full({37, 3, 9, 8}, 0.7);
  auto once = [&] {
    Generator g(4);
    return values(rand_augment_view(uda_policy(), flip_crop_view(0.5, 2))(x, g));
  };
  auto first = once();
  int before = num_threads();
  for (int threads : {1, 3}) {
    set_num_threads(threads);
    CHECK(once() == first);
  }
  set_num_threads(before);
  Generator g(5);
  CHECK(rand_augment(zeros({0, 1, 4, 4}), small_digits_policy(), g).shape() == Shape{0, 1, 4, 4});
  CHECK_THROWS_WITH_AS(rand_augment(x, {}, g), "rand_augment: the policy has no changes", ValueError);
  CHECK_THROWS_WITH_AS(rand_augment(x, {.changes = {{Change::invert}}, .rate = 2}, g),
                       "rand_augment: the rate must lie in [0, 1], it is 2", ValueError);
  CHECK_THROWS_WITH_AS(random_shift(x, -1, 0.5, g), "random_shift: the distance is -1 pixels", ValueError);
  CHECK_THROWS_WITH_AS(apply_change(zeros({4, 4}), Change::invert, 0, g), "apply_change: takes images [B, C, H, W], got [4, 4]",
                       ShapeError);
}

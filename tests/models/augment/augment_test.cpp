// Augmentation: what each change does to known images, and that it draws from its generator alone.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "engine/core/parallel.h"
#include "models/augment/augment.h"

using namespace plumb;
using namespace plumb::augment;

namespace {

// Pixel (y, x) of channel c of image i is 1000 i + 100 c + 10 y + x, plus 1 so that nothing is zero.
Tensor numbered(int64_t batch, int64_t channels, int64_t height, int64_t width) {
  Tensor x = empty({batch, channels, height, width}, f32);
  float* p = x.data<float>();
  for (int64_t i = 0; i < batch; ++i)
    for (int64_t c = 0; c < channels; ++c)
      for (int64_t y = 0; y < height; ++y)
        for (int64_t k = 0; k < width; ++k) *p++ = static_cast<float>(1000 * i + 100 * c + 10 * y + k + 1);
  return x;
}
std::vector<float> values(const Tensor& x) { return {x.data<float>(), x.data<float>() + x.numel()}; }
float at(const Tensor& x, int64_t i, int64_t c, int64_t y, int64_t k) {
  return x.data<float>()[((i * x.size(1) + c) * x.size(2) + y) * x.size(3) + k];
}

}  // namespace

TEST_CASE("augment: a crop is the image moved, with zeros or its mirror beyond the edge") {
  Tensor x = numbered(64, 2, 5, 4);
  Generator g(1);
  Tensor y = random_crop(x, 2, g), z = random_crop(x, 2, g, PadMode::reflect);
  std::set<std::pair<int64_t, int64_t>> shifts;
  for (int64_t i = 0; i < 64; ++i) {
    // The pixel at (2, 2) is never padding (places 0 … 4 and 0 … 4 − 1 of 5 × 4), except beyond the right edge.
    int64_t down = 99, right = 99;
    for (int64_t dy = -2; dy <= 2; ++dy)
      for (int64_t dx = -2; dx <= 2; ++dx) {
        bool all = true;
        for (int64_t c = 0; c < 2; ++c)
          for (int64_t r = 0; r < 5; ++r)
            for (int64_t k = 0; k < 4; ++k) {
              bool inside = r + dy >= 0 && r + dy < 5 && k + dx >= 0 && k + dx < 4;
              all = all && at(y, i, c, r, k) == (inside ? at(x, i, c, r + dy, k + dx) : 0);
            }
        if (all) down = dy, right = dx;
      }
    CHECK(down != 99);
    shifts.insert({down, right});
  }
  CHECK(shifts.size() > 15);  // of 25
  for (float v : values(z)) CHECK(v > 0);
}

TEST_CASE("augment: a flip mirrors about half of the images") {
  Tensor x = numbered(200, 1, 2, 3);
  Generator g(2);
  Tensor y = random_flip(x, g);
  int flipped = 0;
  for (int64_t i = 0; i < 200; ++i) {
    bool mirrored = at(y, i, 0, 1, 0) == at(x, i, 0, 1, 2);
    for (int64_t k = 0; k < 3; ++k) CHECK(at(y, i, 0, 1, k) == at(x, i, 0, 1, mirrored ? 2 - k : k));
    flipped += mirrored;
  }
  CHECK(flipped > 70);  // 4.2 standard deviations of 7.1 from 100
  CHECK(flipped < 130);
  CHECK(values(random_flip(x, g, 0)) == values(x));
}

TEST_CASE("augment: without a range an affine map is the identity, a quarter turn turns, a shift moves") {
  Tensor x = numbered(3, 2, 4, 4);
  Generator g(3);
  CHECK(values(random_affine(x, {}, g)) == values(x));
  // Turns by up to 90° with this generator: compare with the same map by hand at the middle, which stays.
  Tensor odd = numbered(20, 1, 5, 5), turned = random_affine(odd, {.degrees = 90}, g);
  for (int64_t i = 0; i < 20; ++i) CHECK(at(turned, i, 0, 2, 2) == doctest::Approx(at(odd, i, 0, 2, 2)));
  // A picture that is a linear function keeps being sampled exactly: v = 10 y + x + 1 moved by (dx, dy).
  Tensor shifted = random_affine(numbered(20, 1, 9, 9), {.translate = 0.2}, g);
  for (int64_t i = 0; i < 20; ++i) {
    double step = static_cast<double>(at(shifted, i, 0, 4, 5) - at(shifted, i, 0, 4, 4)),
           down = static_cast<double>(at(shifted, i, 0, 5, 4) - at(shifted, i, 0, 4, 4));
    CHECK(step == doctest::Approx(1).epsilon(1e-3));
    CHECK(down == doctest::Approx(10).epsilon(1e-3));
    CHECK(std::abs(static_cast<double>(at(shifted, i, 0, 4, 4)) - (1000.0 * static_cast<double>(i) + 45)) <= 1.8 * 11 + 1e-2);
  }
}

TEST_CASE("augment: an enlarged picture of a linear function has the inverse slope") {
  Generator g(4);
  Tensor x = numbered(50, 1, 11, 11), y = random_affine(x, {.scale = 0.5}, g);
  for (int64_t i = 0; i < 50; ++i) {
    double across = static_cast<double>(at(y, i, 0, 5, 6) - at(y, i, 0, 5, 5)),
           down = static_cast<double>(at(y, i, 0, 6, 5) - at(y, i, 0, 5, 5));
    CHECK(across >= 1 / 1.5 - 1e-2);
    CHECK(across <= 1.5 + 1e-2);
    CHECK(down == doctest::Approx(10 * across).epsilon(2e-2));
  }
}

TEST_CASE("augment: a turned picture keeps its lengths") {
  Generator g(5);
  Tensor x = numbered(50, 1, 11, 11), y = random_affine(x, {.degrees = 30}, g);
  for (int64_t i = 0; i < 50; ++i) {
    // v = 10 y + x: its slopes along the output's axes are those of a turned vector (1, 10).
    double across = static_cast<double>(at(y, i, 0, 5, 6) - at(y, i, 0, 5, 5)),
           down = static_cast<double>(at(y, i, 0, 6, 5) - at(y, i, 0, 5, 5));
    CHECK(std::hypot(across, down) == doctest::Approx(std::sqrt(101.0)).epsilon(1e-3));
    CHECK(std::abs(std::atan2(across, down) - std::atan2(1.0, 10.0)) <= 30.01 * 3.14159265 / 180);
  }
}

TEST_CASE("augment: cutout sets a square, cut off at the border, to zero in all channels") {
  Tensor x = numbered(100, 2, 6, 7);
  Generator g(6);
  Tensor y = cutout(x, 3, g);
  for (int64_t i = 0; i < 100; ++i) {
    int64_t zeros = 0;
    for (int64_t r = 0; r < 6; ++r)
      for (int64_t k = 0; k < 7; ++k) {
        bool cut = at(y, i, 0, r, k) == 0;
        zeros += cut;
        CHECK((at(y, i, 1, r, k) == 0) == cut);
        if (!cut) CHECK(at(y, i, 0, r, k) == at(x, i, 0, r, k));
      }
    CHECK(zeros >= 4);  // at a corner
    CHECK(zeros <= 9);
  }
}

TEST_CASE("augment: colours move by at most what was asked, and stay in [0, 1]") {
  Tensor x = full({40, 3, 2, 2}, 0.5);
  for (int64_t i = 0; i < 40; ++i) x.data<float>()[i * 12] = 0.25f;  // one pixel's red
  Generator g(7);
  Tensor bright = colour_jitter(x, {.brightness = 0.4}, g);
  std::set<float> seen;
  for (int64_t i = 0; i < 40; ++i) {
    float factor = at(bright, i, 1, 0, 0) / 0.5f;
    CHECK(factor >= 0.6f);
    CHECK(factor <= 1.4f);
    CHECK(at(bright, i, 0, 0, 0) == doctest::Approx(0.25f * factor));
    seen.insert(factor);
  }
  CHECK(seen.size() > 30);
  Tensor grey = colour_jitter(full({5, 3, 2, 2}, 0.3), {.contrast = 0.9, .saturation = 0.9}, g);
  for (float v : values(grey)) CHECK(v == doctest::Approx(0.3f).epsilon(1e-5));  // without contrast or colour there is nothing to move
  for (float v : values(colour_jitter(x, {1, 1, 1}, g))) CHECK((v >= 0 && v <= 1));
}

TEST_CASE("augment: mixup and cutmix mix images and labels by the same share") {
  Tensor x = numbered(6, 1, 8, 8), labels = from_vector(std::vector<int64_t>{0, 1, 2, 3, 4, 5});
  Generator g(8);
  auto check_rows = [&](const Mixed& m, auto share_of) {
    for (int64_t i = 0; i < 6; ++i) {
      const float* row = m.target.data<float>() + i * 6;
      CHECK(row[0] + row[1] + row[2] + row[3] + row[4] + row[5] == doctest::Approx(1));
      for (int64_t j = 0; j < 6; ++j)
        if (j != i && row[j] > 0) CHECK(share_of(m, i, j) == doctest::Approx(row[i]).epsilon(1e-3));
    }
  };
  for (int repeat = 0; repeat < 5; ++repeat) {
    check_rows(mixup(x, labels, 6, 0.5, g), [&](const Mixed& m, int64_t i, int64_t j) {
      return (at(m.images, i, 0, 3, 3) - at(x, j, 0, 3, 3)) / (at(x, i, 0, 3, 3) - at(x, j, 0, 3, 3));
    });
    check_rows(cutmix(x, labels, 6, 1, g), [&](const Mixed& m, int64_t i, int64_t j) {
      int64_t own = 0;
      for (int64_t p = 0; p < 64; ++p) {
        float v = m.images.data<float>()[i * 64 + p];
        own += v == x.data<float>()[i * 64 + p];
        CHECK((v == x.data<float>()[i * 64 + p] || v == x.data<float>()[j * 64 + p]));
      }
      return static_cast<float>(own) / 64;
    });
  }
}

TEST_CASE("augment: cutmix's box has the share that is asked for, less what the border cuts off") {
  Generator g(12);
  int64_t whole = 0;
  for (int repeat = 0; repeat < 200; ++repeat) {
    CutBox b = cut_box(16, 20, 0.75, g);  // halves of both sides: 8 × 10
    CHECK((0 <= b.top && b.top <= b.bottom && b.bottom <= 16 && 0 <= b.left && b.left <= b.right && b.right <= 20));
    CHECK(b.area() <= 80);
    whole += b.area() == 80;
  }
  CHECK(whole > 20);
  CHECK(cut_box(16, 20, 1, g).area() == 0);
  CHECK_THROWS_WITH_AS(cut_box(16, 20, 1.5, g), "cut_box: lambda must lie in [0, 1], it is 1.5", ValueError);
}

TEST_CASE("augment: beta numbers have their mean and variance") {
  Generator g(9);
  for (auto [a, b] : {std::pair{0.4, 0.4}, {2.0, 3.0}, {1.0, 1.0}}) {
    constexpr int kDraws = 20000;
    double sum = 0, squares = 0;
    for (int i = 0; i < kDraws; ++i) {
      double v = beta_number(a, b, g);
      CHECK((v >= 0 && v <= 1));
      sum += v;
      squares += v * v;
    }
    double mean = a / (a + b), variance = a * b / ((a + b) * (a + b) * (a + b + 1));
    CHECK(std::abs(sum / kDraws - mean) < 4.5 * std::sqrt(variance / kDraws));
    CHECK(squares / kDraws - mean * mean == doctest::Approx(variance).epsilon(0.06));
  }
}

TEST_CASE("augment: results depend on the generator's state alone, not on threads") {
  Tensor x = numbered(33, 3, 9, 8), labels = zeros({33}, i64);
  auto all = [&] {
    Generator g(10);
    std::vector<float> out;
    for (const Tensor& t : {random_crop(x, 3, g), random_flip(x, g), random_affine(x, {10, 0.1, 0.1, 5}, g), cutout(x, 4, g),
                            mixup(x, labels, 1, 0.3, g).images, cutmix(x, labels, 1, 1, g).images})
      for (float v : values(t)) out.push_back(v);
    out.push_back(static_cast<float>(g.offset()));
    return out;
  };
  std::vector<float> first = all();
  int before = num_threads();
  for (int threads : {1, 3}) {
    set_num_threads(threads);
    CHECK(all() == first);
  }
  set_num_threads(before);
}

TEST_CASE("augment: empty batches pass, mistakes are named") {
  Generator g(11);
  CHECK(random_crop(zeros({0, 1, 4, 4}), 1, g).shape() == Shape{0, 1, 4, 4});
  CHECK_THROWS_WITH_AS(random_crop(zeros({4, 4}), 1, g), "random_crop: takes images [B, C, H, W], got [4, 4]", ShapeError);
  CHECK_THROWS_WITH_AS(random_flip(zeros({1, 1, 2, 2}, f64), g), "random_flip: takes f32 images, got f64", DTypeError);
  CHECK_THROWS_WITH_AS(cutout(zeros({1, 1, 2, 2}), -1, g), "cutout: the side must not be negative, it is -1", ValueError);
  CHECK_THROWS_WITH_AS(random_crop(zeros({1, 1, 2, 2}), 2, g, PadMode::reflect),
                       "random_crop: images [1, 1, 2, 2] are too small to mirror 2 pixels", ShapeError);
  CHECK_THROWS_WITH_AS(mixup(zeros({1, 1, 2, 2}), full({1}, 3, i64), 3, 1, g), "mixup: label 3 is outside [0, 3)", IndexError);
  CHECK_THROWS_WITH_AS(cutmix(zeros({1, 1, 2, 2}), full({1}, 0, i64), 3, 0, g), "cutmix: alpha must be positive, it is 0",
                       ValueError);
}

TEST_CASE("augment: saturation moves all colours of an image from their grey by one factor") {
  const float colour[] = {0.4f, 0.5f, 0.6f};
  const double grey = 0.299 * 0.4 + 0.587 * 0.5 + 0.114 * 0.6;
  Tensor x = empty({16, 3, 2, 2}, f32);
  for (int64_t k = 0; k < x.numel(); ++k) x.data<float>()[k] = colour[k / 4 % 3];
  Generator g(8);
  Tensor y = colour_jitter(x, {.saturation = 0.5}, g);
  double least = INFINITY, most = 0;
  for (int64_t i = 0; i < 16; ++i) {
    double factor = (static_cast<double>(at(y, i, 2, 1, 1)) - grey) / (0.6 - grey);
    least = std::min(least, factor), most = std::max(most, factor);
    for (int64_t c = 0; c < 3; ++c)
      CHECK(static_cast<double>(at(y, i, c, 0, 1)) ==
            doctest::Approx(grey + factor * (static_cast<double>(colour[c]) - grey)).epsilon(1e-5));
  }
  CHECK(least >= 0.5 - 1e-5);
  CHECK(most <= 1.5 + 1e-5);
  CHECK(least < 0.8);
  CHECK(most > 1.2);
}

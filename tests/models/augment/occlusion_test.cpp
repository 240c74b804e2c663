// Covered images: where, by what, and what stays as it was.
#include "models/augment/occlusion.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "ops/index.h"
#include "ops/join.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"

using namespace plumb;
using namespace plumb::augment;

namespace {

// Image i is i + 1 everywhere, but for a small gradient that makes places differ.
Tensor batch(int64_t n, int64_t height = 12, int64_t width = 20) {
  std::vector<float> v;
  for (int64_t i = 0; i < n; ++i)
    for (int64_t k = 0; k < height * width; ++k) v.push_back(static_cast<float>(i + 1) + static_cast<float>(k) * 1e-4f);
  return from_vector(v, {n, 1, height, width});
}
std::vector<float> pixels(const Tensor& x, int64_t image) { return to_vector<float>(select(x, 0, image)); }
Tensor joints_at(int64_t n, double x, double y) { return expand(tensor({x, y}, f32), {n, 1, 2}); }
OcclusionOptions exact(int64_t count, int64_t half) { return {.count = count, .min_half = half, .max_half = half, .jitter = 0}; }

}  // namespace

TEST_CASE("occlusion: joint cutout clears the half-open box about the joint and nothing else") {
  Tensor x = batch(2), y;
  Generator g(1);
  y = cut_joints(x, joints_at(2, 7, 4), exact(1, 3), g);
  for (int64_t i = 0; i < 2; ++i) {
    auto before = pixels(x, i), after = pixels(y, i);
    for (int64_t row = 0; row < 12; ++row)
      for (int64_t column = 0; column < 20; ++column) {
        auto at = static_cast<size_t>(20 * row + column);
        bool inside = column >= 4 && column < 10 && row >= 1 && row < 7;  // x counts columns, y rows
        CHECK(after[at] == (inside ? 0.0f : before[at]));
      }
  }
}

TEST_CASE("occlusion: boxes are clipped, and joints outside the image do no harm") {
  Tensor x = batch(3);
  Generator g(2);
  auto cleared = [&](double jx, double jy) {
    auto after = pixels(cut_joints(x, joints_at(3, jx, jy), exact(1, 3), g), 0);
    return std::ranges::count(after, 0.0f);
  };
  CHECK(cleared(0, 0) == 9);
  CHECK(cleared(19, 11) == 16);  // columns 16 … 19, rows 8 … 11
  CHECK(cleared(-50, 4) == 0);
  CHECK(cleared(500, -500) == 0);
  Tensor far = joints_at(3, 1e6, -1e6);
  CHECK(to_vector(paste_joints(x, far, exact(2, 3), g)) == to_vector(x));
}

TEST_CASE("occlusion: cutout clears boxes of the sizes asked for, anywhere") {
  Tensor x = batch(200, 40, 40);
  Generator g(3), same(3);
  Tensor y = cut_boxes(x, {.count = 1, .min_half = 2, .max_half = 4}, g);
  CHECK(to_vector(y) == to_vector(cut_boxes(x, {.count = 1, .min_half = 2, .max_half = 4}, same)));
  int whole = 0;
  for (int64_t i = 0; i < 200; ++i) {
    auto n = std::ranges::count(pixels(y, i), 0.0f);
    CHECK(n >= 4);  // a quarter of the smallest box, at a corner
    CHECK(n <= 64);
    whole += n == 16 || n == 24 || n == 32 || n == 36 || n == 48 || n == 64;
  }
  CHECK(whole > 100);
  CHECK(to_vector(cut_boxes(x, {.count = 0}, g)) == to_vector(x));
}

TEST_CASE("occlusion: cutmix with itself changes nothing, with another takes the same place of it") {
  Tensor x = batch(3);
  Generator g(4);
  CHECK(to_vector(mix_boxes(x, {0, 1, 2}, exact(2, 3), g)) == to_vector(x));
  Tensor y = mix_boxes(x, {1, 2, 0}, exact(2, 3), g);
  for (int64_t i = 0; i < 3; ++i) {
    auto own = pixels(x, i), other = pixels(x, (i + 1) % 3), after = pixels(y, i);
    int changed = 0;
    for (size_t k = 0; k < own.size(); ++k) {
      CHECK((after[k] == own[k] || after[k] == other[k]));
      changed += after[k] != own[k];
    }
    CHECK(changed >= 9);
    CHECK(changed <= 72);
  }
  CHECK(to_vector(mix_boxes(batch(1), exact(2, 3), g)) == to_vector(batch(1)));
  CHECK_THROWS_WITH_AS(mix_boxes(x, {0, 1}, exact(1, 3), g), "mix_boxes: 2 partners for images [3, 1, 12, 20]", ShapeError);
  CHECK_THROWS_WITH_AS(mix_boxes(x, {0, 1, 3}, exact(1, 3), g), "mix_boxes: partner 3 is outside [0, 3)", IndexError);
}

TEST_CASE("occlusion: joints of another image are pasted about this one's joint, from the batch as it came") {
  Tensor x = batch(2);
  Tensor joints = cat({joints_at(1, 6, 5), joints_at(1, 13, 6)});
  Generator g(5);
  Tensor y = paste_joints(x, joints, exact(1, 3), g);
  for (int64_t i = 0; i < 2; ++i) {
    auto own = pixels(x, i), other = pixels(x, 1 - i), after = pixels(y, i);
    int64_t tx = i == 0 ? 6 : 13, ty = i == 0 ? 5 : 6, sx = i == 0 ? 13 : 6, sy = i == 0 ? 6 : 5;
    for (int64_t row = 0; row < 12; ++row)
      for (int64_t column = 0; column < 20; ++column) {
        bool inside = column >= tx - 3 && column < tx + 3 && row >= ty - 3 && row < ty + 3;
        float wanted =
            inside ? other[static_cast<size_t>(20 * (row - ty + sy) + column - tx + sx)] : own[static_cast<size_t>(20 * row + column)];
        CHECK(after[static_cast<size_t>(20 * row + column)] == wanted);
      }
  }
  // The source is cut off by the border and the target is not: the target is cleared.
  Tensor edge = cat({joints_at(1, 10, 6), joints_at(1, 0, 6)});
  auto after = pixels(paste_joints(x, edge, exact(1, 3), g), 0);
  CHECK(std::ranges::count(after, 0.0f) == 36);
  // A batch of one pastes from itself.
  CHECK(to_vector(paste_joints(batch(1), joints_at(1, 6, 5), exact(2, 3), g)) == to_vector(batch(1)));
}

TEST_CASE("occlusion: mixing and joining halves") {
  Tensor x = batch(4);
  Generator g(6);
  Tensor y = blend_images(x, g);
  CHECK(mean(y).item() == doctest::Approx(mean(x).item()).epsilon(1e-5));  // a permutation and shares that sum to 1
  CHECK(to_vector(blend_images(x, g, 0)) == to_vector(x));
  Tensor many = batch(40), z = join_halves(many, many + 100.0, g);
  int across = 0;
  for (int64_t i = 0; i < 40; ++i) {
    auto own = pixels(many, i), after = pixels(z, i);
    bool is_across = after[19] == own[19];  // the upper right corner is the first image's
    across += is_across;
    for (int64_t row = 0; row < 12; ++row)
      for (int64_t column = 0; column < 20; ++column) {
        auto at = static_cast<size_t>(20 * row + column);
        bool second = is_across ? row >= 6 : column >= 10;
        CHECK(after[at] == (second ? own[at] + 100.0f : own[at]));
      }
  }
  CHECK(across > 7);
  CHECK(across < 33);
  CHECK_THROWS_WITH_AS(join_halves(x, batch(3), g), "join_halves: images [4, 1, 12, 20] and [3, 1, 12, 20] differ", ShapeError);
}

TEST_CASE("occlusion: mistakes are named") {
  Tensor x = batch(2);
  Generator g(7);
  CHECK_THROWS_WITH_AS(cut_boxes(x, {.count = -1}, g), "cut_boxes: the number of boxes must not be negative, it is -1", ValueError);
  CHECK_THROWS_WITH_AS(cut_joints(x, joints_at(2, 1, 1), {.count = -2}, g),
                       "cut_joints: the number of boxes must not be negative, it is -2", ValueError);
  CHECK_THROWS_WITH_AS(cut_boxes(x, {.min_half = 5, .max_half = 4}, g),
                       "cut_boxes: half sizes must rise from 0 or more, they go from 5 to 4", ValueError);
  CHECK_THROWS_WITH_AS(cut_joints(x, joints_at(3, 1, 1), {}, g), "cut_joints: joints [3, 1, 2] for 2 images; takes [B, J, 2]", ShapeError);
  CHECK_THROWS_WITH_AS(paste_joints(x, zeros({2, 0, 2}), {}, g), "paste_joints: joints [2, 0, 2] for 2 images; takes [B, J, 2]",
                       ShapeError);
}

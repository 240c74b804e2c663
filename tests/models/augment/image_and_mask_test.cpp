// Images and masks that move together.
#include "models/augment/image_and_mask.h"

#include <doctest/doctest.h>

#include <set>

#include "ops/create.h"
#include "ops/join.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/shape.h"

using namespace plumb;
using namespace plumb::augment;

namespace {

// Images that show their own masks.
ImagesAndMasks batch_of(int64_t n, int64_t side) {
  Generator g(3);
  Tensor masks = randint(1, 9, {n, side, side}, {.dtype = i64, .generator = &g});
  return {0.1 * to(unsqueeze(masks, 1), f32), masks};
}

}  // namespace

TEST_CASE("turn_or_rotate: every mask goes where its image goes") {
  ImagesAndMasks batch = batch_of(40, 9);
  Generator g(5);
  ImagesAndMasks moved = turn_or_rotate(batch, g);
  CHECK(moved.images.shape() == batch.images.shape());
  CHECK(moved.masks.shape() == batch.masks.shape());
  CHECK(to_vector(moved.images) == to_vector(0.1 * to(unsqueeze(moved.masks, 1), f32)));
  CHECK(to_vector(moved.masks) != to_vector(batch.masks));
  Generator same(5);
  CHECK(to_vector(turn_or_rotate(batch, same).masks) == to_vector(moved.masks));
}

TEST_CASE("turn_or_rotate: turns alone are one of the eight symmetries, rotations leave the middle and fill with background") {
  ImagesAndMasks one = batch_of(1, 5);
  std::set<std::vector<double>> symmetries, seen;
  for (int q = 0; q < 4; ++q)
    for (bool mirrored : {false, true}) {
      Tensor m = rot90(one.masks, q, 1, 2);
      symmetries.insert(to_vector(contiguous(mirrored ? flip(m, {1}) : m)));
    }
  Generator g(6);
  for (int k = 0; k < 60; ++k) seen.insert(to_vector(turn_or_rotate(one, g, 1).masks));
  for (const auto& s : seen) CHECK(symmetries.contains(s));
  CHECK(seen.size() == 4);  // a mirrored quarter turn is one of the four reflections
  bool filled = false;
  for (int k = 0; k < 20; ++k) {
    auto m = to_vector<int64_t>(turn_or_rotate(one, g, 0).masks);
    CHECK(m[12] == to_vector<int64_t>(one.masks)[12]);
    for (int64_t v : m) filled = filled || v == 0;
  }
  CHECK(filled);
}

TEST_CASE("turn_or_rotate: mistakes are named") {
  Generator g(1);
  ImagesAndMasks batch = batch_of(2, 4);
  CHECK_THROWS_WITH_AS(turn_or_rotate({batch.images, zeros({2, 4, 5}, i64)}, g),
                       "turn_or_rotate: takes square images [B, C, H, H] with masks [B, H, H], got [2, 1, 4, 4] and [2, 4, 5]", ShapeError);
  CHECK_THROWS_WITH_AS(turn_or_rotate({batch.images, to(batch.masks, f32)}, g),
                       "turn_or_rotate: takes f32 images with i64 masks, got f32 and f32", DTypeError);
  CHECK_THROWS_AS(turn_or_rotate(batch, g, 2), ValueError);
  CHECK_THROWS_AS(turn_or_rotate(batch, g, 0.5, 0), ValueError);
}

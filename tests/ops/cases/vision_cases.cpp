// Rows of resizing, windows as columns and shuffles.
#include "ops/vision.h"

#include "ops/elementary.h"
#include "tests/ops/op_table.h"

namespace plumb::testing {

std::vector<OpCase> vision_cases() {
  using T = const Tensor&;
  const InputSpec image = real({1, 2, 4, 3});
  // Moving and mixing elements is linear: squares make second derivatives appear.
  auto resized = [](Size2 size, Interpolation mode, bool corners = false) {
    return [=](T x) { return square(interpolate(x, {.size = size, .mode = mode, .align_corners = corners})); };
  };
  return {
      {"interpolate, nearest", {image}, resized({7, 2}, Interpolation::nearest)},
      {"interpolate, linear", {image}, resized({3, 7}, Interpolation::linear)},
      {"interpolate, linear with corners", {image}, resized({6, 2}, Interpolation::linear, true)},
      {"interpolate, bicubic", {image}, resized({6, 2}, Interpolation::bicubic)},
      {"interpolate, bicubic with corners", {image}, resized({5, 7}, Interpolation::bicubic, true)},
      {"interpolate, area", {image}, resized({3, 2}, Interpolation::area)},
      {"interpolate a sequence",
       {real({2, 2, 5})},
       [](T x) { return square(interpolate(x, {.scale = 1.7, .mode = Interpolation::linear})); }},
      {"upfirdn2d",
       {image},
       [](T x) {
         return square(upfirdn2d(x, {0.5, -1, 2}, {.up = 3, .down = 2, .before = 2, .after = -1, .gain = 1.5}));
       }},
      {"unfold",
       {real({2, 2, 5, 4})},
       [](T x) {
         return square(unfold(x, {2, 3}, {.stride = {2, 1}, .padding = {0, 1}, .dilation = {2, 1}}));
       }},
      {"fold",
       {real({2, 8, 6})},
       [](T x) {
         return square(fold(x, {4, 5}, 2, {.stride = {2, 1}, .padding = {0, 0}, .dilation = {1, 2}}));
       }},
      {"pixel_shuffle", {real({2, 8, 2, 3})}, [](T x) { return square(pixel_shuffle(x, 2)); }},
      {"pixel_unshuffle", {real({2, 4, 6})}, [](T x) { return square(pixel_unshuffle(x, 2)); }},
      {"channel_shuffle", {real({2, 6, 3})}, [](T x) { return square(channel_shuffle(x, 3)); }},
  };
}

}  // namespace plumb::testing

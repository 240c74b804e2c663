// Rows of convolution and padding.
#include "ops/conv.h"

#include "ops/elementary.h"
#include "tests/ops/op_table.h"

namespace plumb::testing {

std::vector<OpCase> conv_cases() {
  using T = const Tensor&;
  return {
      {"pad two dimensions",
       {real({2, 3, 4})},
       [](T x) {
         return std::vector<Tensor>{square(pad(x, {1, 2, 0, 1}, PadMode::constant, 0.5)), square(pad(x, {-1, 2})),
                                    square(pad(x, {2, 3, 1, 0}, PadMode::reflect)), square(pad(x, {5, 1, 2, -1}, PadMode::replicate)),
                                    square(pad(x, {4, 1, 0, 3}, PadMode::circular))};
       }},
      {"conv1d", {real({2, 3, 7}), real({4, 3, 3}), real({4})}, [](T x, T w, T b) { return conv1d(x, w, b, {.stride = 2, .padding = 2}); }},
      {"conv1d, same, dilated, reflected",
       {real({2, 6}), real({3, 2, 2})},
       [](T x, T w) { return conv1d(x, w, {}, {.dilation = 3, .padding_mode = PadMode::reflect, .same = true}); }},
      {"conv2d",
       {real({2, 3, 4, 5}), real({4, 3, 3, 2}), real({4})},
       [](T x, T w, T b) {
         return conv2d(x, w, b, {.padding = {1, 0}});
       }},
      {"conv2d, strided and dilated",
       {real({1, 2, 6, 7}), real({3, 2, 2, 3})},
       [](T x, T w) {
         return conv2d(x, w, {}, {.stride = {2, 3}, .padding = {2, 1}, .dilation = {3, 1}});
       }},
      {"conv2d in groups",
       {real({1, 4, 4, 4}), real({6, 2, 2, 2}), real({6})},
       [](T x, T w, T b) { return conv2d(x, w, b, {.stride = 2, .groups = 2}); }},
      {"conv2d, depthwise",
       {real({2, 3, 4, 4}), real({3, 1, 3, 3})},
       [](T x, T w) {
         return conv2d(x, w, {}, {.stride = {1, 2}, .padding = 1, .groups = 3});
       }},
      {"conv_transpose1d",
       {real({2, 3, 4}), real({3, 2, 3}), real({2})},
       [](T x, T w, T b) { return conv_transpose1d(x, w, b, {.stride = 2, .padding = 1, .output_padding = 1}); }},
      {"conv_transpose2d",
       {real({2, 4, 3, 2}), real({4, 3, 2, 3}), real({3})},
       [](T x, T w, T b) {
         return conv_transpose2d(x, w, b, {.stride = {3, 1}, .padding = {0, 1}, .dilation = {1, 2}});
       }},
      {"conv_transpose2d in groups",
       {real({1, 4, 2, 3}), real({4, 2, 2, 2})},
       [](T x, T w) { return conv_transpose2d(x, w, {}, {.stride = 2, .groups = 2}); }},
  };
}

}  // namespace plumb::testing

// Rows of convolution of volumes.
#include "ops/conv3d.h"
#include "tests/ops/op_table.h"

namespace plumb::testing {

std::vector<OpCase> conv3d_cases() {
  using T = const Tensor&;
  return {
      {"conv3d",
       {real({2, 2, 3, 3, 4}), real({3, 2, 2, 2, 3}), real({3})},
       [](T x, T w, T b) {
         return conv3d(x, w, b, {.padding = {1, 0, 1}});
       }},
      {"conv3d, strided and dilated",
       {real({1, 2, 5, 4, 4}), real({2, 2, 2, 2, 2})},
       [](T x, T w) {
         return conv3d(x, w, {}, {.stride = {2, 1, 2}, .padding = 1, .dilation = {2, 1, 3}});
       }},
      {"conv3d in groups",
       {real({1, 4, 3, 3, 2}), real({4, 2, 2, 1, 2}), real({4})},
       [](T x, T w, T b) { return conv3d(x, w, b, {.groups = 2}); }},
      {"conv_transpose3d",
       {real({1, 2, 2, 3, 2}), real({2, 2, 2, 2, 3}), real({2})},
       [](T x, T w, T b) {
         return conv_transpose3d(x, w, b, {.stride = {2, 1, 2}, .padding = {1, 0, 1}, .output_padding = {1, 0, 0}});
       }},
      {"conv_transpose3d in groups",
       {real({1, 4, 2, 2, 2}), real({4, 1, 2, 2, 2})},
       [](T x, T w) {
         return conv_transpose3d(x, w, {}, {.dilation = {2, 1, 1}, .groups = 2});
       }},
  };
}

}  // namespace plumb::testing

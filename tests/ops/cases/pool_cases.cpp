// Rows of pooling.
#include "ops/pool.h"

#include "ops/elementary.h"
#include "ops/pointwise.h"
#include "tests/ops/op_table.h"

namespace plumb::testing {

std::vector<OpCase> pool_cases() {
  using T = const Tensor&;
  // Elements are drawn from a fixed seed: no two are as near as a difference step, so that maxima stay where they are.
  return {
      {"max_pool2d",
       {real({2, 2, 5, 6})},
       [](T x) {
         return square(max_pool2d(x, {2, 3}, {.stride = {2, 1}, .padding = {1, 0}}));
       }},
      {"max_pool2d, dilated",
       {real({1, 2, 6, 7})},
       [](T x) {
         return square(max_pool2d(x, 2, {.stride = 3, .dilation = {2, 3}, .ceil_mode = true}));
       }},
      {"max_pool1d", {real({2, 3, 9})}, [](T x) { return square(max_pool1d(x, 3, {.padding = 1})); }},
      {"max pooling with indices",
       {real({2, 5, 7})},
       [](T x) {
         return std::vector<Tensor>{square(max_pool2d_with_indices(x, 2).values), square(max_pool1d_with_indices(x, 3).values),
                                    square(adaptive_max_pool2d_with_indices(x, {3, 2}).values),
                                    square(adaptive_max_pool1d_with_indices(x, 4).values)};
       }},
      {"avg_pool2d",
       {real({2, 2, 5, 6})},
       [](T x) {
         return square(avg_pool2d(x, {2, 3}, {.stride = {2, 1}, .padding = {1, 0}, .count_include_pad = false}));
       }},
      {"avg_pool1d", {real({2, 3, 8})}, [](T x) { return square(avg_pool1d(x, 3, {.padding = 1, .ceil_mode = true})); }},
      {"adaptive_avg_pool",
       {real({2, 5, 7})},
       [](T x) {
         return std::vector<Tensor>{square(adaptive_avg_pool2d(x, {3, 2})), square(adaptive_avg_pool1d(x, 4))};
       }},
      {"adaptive_max_pool",
       {real({2, 5, 7})},
       [](T x) {
         return std::vector<Tensor>{square(adaptive_max_pool2d(x, {3, 2})), square(adaptive_max_pool1d(x, 4))};
       }},
      {"global pooling",
       {real({2, 3, 2, 2})},
       [](T x) {
         return std::vector<Tensor>{square(global_avg_pool(x)), square(global_max_pool(x))};
       }},
  };
}

}  // namespace plumb::testing

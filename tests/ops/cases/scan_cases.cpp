// Rows of running sums, products and recurrences.
#include "ops/scan.h"

#include "ops/elementary.h"
#include "ops/pointwise.h"
#include "ops/shape.h"
#include "tests/ops/op_table.h"

namespace plumb::testing {

std::vector<OpCase> scan_cases() {
  using T = const Tensor&;
  const InputSpec cube = real({2, 3, 4});
  return {
      {"cumsum",
       {cube},
       [](T x) {
         return std::vector<Tensor>{square(cumsum(x, 1)), square(cumsum(x, -1))};
       }},
      {"cumprod",
       {cube},
       [](T x) {
         return std::vector<Tensor>{cumprod(x, 1), cumprod(x, -1)};
       }},
      {"cumprod with zeros",
       {real({2, 5})},
       [](T x) {
         return cumprod(x * to(tensor({{1, 0, 1, 1, 1}, {0, 1, 1, 0, 1}}, x.dtype()), x.device()), 1);
       }},
      {"linear_scan", {cube, cube}, [](T a, T b) { return linear_scan(a, b, 1); }},
      {"linear_scan reversed and broadcast", {real({3, 1}), cube}, [](T a, T b) { return linear_scan(a, b, 1, true); }},
  };
}

}  // namespace plumb::testing

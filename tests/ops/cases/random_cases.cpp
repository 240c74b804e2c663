// Rows of draws that are differentiable in their parameters: the same numbers at every evaluation.
#include <cmath>

#include "ops/random.h"
#include "tests/ops/op_table.h"

namespace plumb::testing {

std::vector<OpCase> random_cases() {
  using T = const Tensor&;
  constexpr double kOtherNumbers = INFINITY;  // types draw with words of their own, so f32 is not comparable with f64
  return {
      {"normal of tensors", {real({2, 3}), positive({3})},
       [](T mean, T std) {
         Generator g(3);
         return normal(mean, std, &g);
       },
       false, kOtherNumbers},
      {"gumbel_softmax", {real({2, 3})},
       [](T x) {
         Generator g(3);
         return gumbel_softmax(x, 0.8, false, 1, &g);
       },
       false, kOtherNumbers},
  };
}

}  // namespace plumb::testing

// Rows of sorting and selecting.
#include "ops/sort.h"

#include "ops/elementary.h"
#include "ops/shape.h"
#include "tests/ops/op_table.h"

namespace plumb::testing {

std::vector<OpCase> sort_cases() {
  using T = const Tensor&;
  const InputSpec cube = real({2, 3, 4});
  return {
      {"sort",
       {cube},
       [](T x) {
         return std::vector<Tensor>{square(sort(x).values), square(sort(x, 1, true).values)};
       }},
      {"topk",
       {cube},
       [](T x) {
         return std::vector<Tensor>{square(topk(x, 2).values), square(topk(x, 2, 1, false).values),
                                    square(topk(x, 3, 2, true, false).values)};
       }},
      {"kthvalue",
       {cube},
       [](T x) {
         return std::vector<Tensor>{square(kthvalue(x, 2).values), square(kthvalue(x, 1, 0, true).values)};
       }},
      {"median",
       {cube},
       [](T x) {
         return std::vector<Tensor>{square(median(x)), square(median(x, 1).values), square(median(x, -1, true).values)};
       }},
      {"quantile",
       {cube},
       [](T x) {
         return std::vector<Tensor>{square(quantile(x, 0.3)), square(quantile(x, {0.1, 0.5, 1.0}, {0, 2}))};
       }},
      {"bincount",
       {real({4})},
       [](T w) {
         return square(bincount(to(tensor({2, 0, 2, 1}), w.device()), w));
       }},
  };
}

}  // namespace plumb::testing

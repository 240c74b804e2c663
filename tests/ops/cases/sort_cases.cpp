// Rows of sorting and selecting.
#include "ops/sort.h"

#include "ops/elementary.h"
#include "tests/ops/op_table.h"

namespace plumb::testing {

std::vector<OpCase> sort_cases() {
  using T = const Tensor&;
  const InputSpec cube = real({2, 3, 4});
  return {
      {"sort", {cube}, [](T x) { return std::vector<Tensor>{square(sort(x).values), square(sort(x, 1, true).values)}; }},
      {"topk", {cube}, [](T x) { return std::vector<Tensor>{square(topk(x, 2).values), square(topk(x, 2, 1, false).values)}; }},
  };
}

}  // namespace plumb::testing

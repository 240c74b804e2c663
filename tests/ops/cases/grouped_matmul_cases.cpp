// Rows of grouped matrix products: segments of different sizes, the second one empty.
#include "ops/grouped_matmul.h"

#include "tests/ops/op_table.h"

namespace plumb::testing {

std::vector<OpCase> grouped_matmul_cases() {
  using T = const Tensor&;
  InputSpec offsets = fixed(tensor({0, 2, 2, 5}));
  return {
      {"grouped_matmul", {real({5, 3}), real({3, 3, 2}), offsets}, [](T x, T w, T o) { return grouped_matmul(x, w, o); }},
      {"grouped_linear", {real({5, 3}), real({3, 2, 3}), real({3, 2}), offsets}, [](T x, T w, T b, T o) { return grouped_linear(x, w, b, o); }},
      {"grouped_linear without bias", {real({5, 3}), real({3, 2, 3}), offsets}, [](T x, T w, T o) { return grouped_linear(x, w, {}, o); }},
      {"grouped_outer", {real({5, 3}), real({5, 2}), offsets}, [](T a, T b, T o) { return grouped_outer(a, b, o); }},
      {"grouped_sum", {real({5, 3}), offsets}, [](T x, T o) { return grouped_sum(x, o); }},
  };
}

}  // namespace plumb::testing

// Rows of grouped matrix products, segments of different sizes, the second one empty; and of rows that go to places and come back.
#include "ops/grouped_matmul.h"
#include "ops/grouped_rows.h"

#include "tests/ops/op_table.h"

namespace plumb::testing {

std::vector<OpCase> grouped_matmul_cases() {
  using T = const Tensor&;
  InputSpec offsets = fixed(tensor({0, 2, 2, 5})), place = fixed(tensor({{2, 0}, {-1, 4}, {1, 3}}));
  return {
      {"grouped_matmul", {real({5, 3}), real({3, 3, 2}), offsets}, [](T x, T w, T o) { return grouped_matmul(x, w, o); }},
      {"grouped_linear",
       {real({5, 3}), real({3, 2, 3}), real({3, 2}), offsets},
       [](T x, T w, T b, T o) { return grouped_linear(x, w, b, o); }},
      {"grouped_linear without bias", {real({5, 3}), real({3, 2, 3}), offsets}, [](T x, T w, T o) { return grouped_linear(x, w, {}, o); }},
      {"grouped_outer", {real({5, 3}), real({5, 2}), offsets}, [](T a, T b, T o) { return grouped_outer(a, b, o); }},
      {"grouped_sum", {real({5, 3}), offsets}, [](T x, T o) { return grouped_sum(x, o); }},
      {"spread_rows", {real({3, 4}), place, real({5})}, [](T x, T p, T w) { return spread_rows(x, p, 5, w); }},
      {"spread_rows as they are", {real({3, 4}), place}, [](T x, T p) { return spread_rows(x, p, 5); }},
      {"join_rows", {real({5, 4}), place, real({5})}, [](T x, T p, T w) { return join_rows(x, p, w); }},
      {"join_rows as they are", {real({5, 8}), place}, [](T x, T p) { return join_rows(x, p); }},
      {"row_dots", {real({3, 4}), real({5, 4}), place}, [](T x, T y, T p) { return row_dots(x, y, p); }},
  };
}

}  // namespace plumb::testing

// Rows of einsum: products, sums, diagonals, batches, broadcasting.
#include "ops/einsum.h"

#include "tests/ops/op_table.h"

namespace plumb::testing {

std::vector<OpCase> einsum_cases() {
  using T = const Tensor&;
  return {
      {"einsum product", {real({2, 3}), real({3, 4})}, [](T a, T b) { return einsum("ij,jk->ki", {a, b}); }},
      {"einsum batch", {real({2, 3, 4}), real({4, 2, 2})}, [](T a, T b) { return einsum("bij,jbk->bik", {a, b}); }},
      {"einsum diagonal", {real({3, 3, 2})}, [](T a) { return einsum("iij,kkj->ij", {a, a}); }},
      {"einsum of three", {real({2, 3}), real({3, 2}), real({2})}, [](T a, T b, T c) { return einsum("ij,jk,k->i", {a, b, c}); }},
      {"einsum broadcast", {real({2, 1, 3}), real({4, 3})}, [](T a, T b) { return einsum("...i,...i->...", {a, b}); }},
  };
}

}  // namespace plumb::testing

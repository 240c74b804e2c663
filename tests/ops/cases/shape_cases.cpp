// Rows of views and copies.
#include "ops/shape.h"

#include "ops/elementary.h"
#include "ops/pointwise.h"
#include "tests/ops/op_table.h"

namespace plumb::testing {

std::vector<OpCase> shape_cases() {
  using T = const Tensor&;
  const InputSpec matrix = real({3, 4}), cube = real({2, 3, 4});
  // Views are linear: squaring what they show makes second derivatives appear.
  return {
      {"reshape", {cube}, [](T x) { return square(reshape(x, {4, -1})); }},
      {"flatten", {cube}, [](T x) { return square(flatten(x, 1)); }},
      {"unflatten", {matrix}, [](T x) { return square(unflatten(x, 1, {2, -1})); }},
      {"transpose", {cube}, [](T x) { return square(transpose(x, 0, 2)); }},
      {"mT", {cube}, [](T x) { return square(mT(x)); }},
      {"permute", {cube}, [](T x) { return square(permute(x, {2, 0, 1})); }},
      {"movedim", {cube}, [](T x) { return square(movedim(x, 0, -1)); }},
      {"expand", {real({3, 1})}, [](T x) { return expand(x, {2, -1, 4}) * expand(square(x), {2, 3, 4}); }},
      {"unsqueeze", {matrix}, [](T x) { return square(unsqueeze(x, 1)); }},
      {"squeeze", {real({3, 1, 2, 1})}, [](T x) { return std::vector<Tensor>{square(squeeze(x, 1)), square(squeeze(x))}; }},
      {"slice", {matrix}, [](T x) { return square(slice(x, 1, -3, 4, 2)); }},
      {"narrow", {matrix}, [](T x) { return square(narrow(x, 0, 1, 2)); }},
      {"select", {cube}, [](T x) { return square(select(x, 1, -1)); }},
      {"diagonal", {cube}, [](T x) { return std::vector<Tensor>{square(diagonal(x)), square(diagonal(x, -1, 2, 0))}; }},
      {"sliding_window", {matrix}, [](T x) { return square(sliding_window(x, 1, 2, 1)); }},
      {"sliding_window with gaps", {real({7, 2})}, [](T x) { return square(sliding_window(x, 0, 2, 3)); }},
      {"as_strided", {matrix}, [](T x) { return square(as_strided(contiguous(x), {2, 2}, {4, 2}, 1)); }},
      {"as_strided overlapping", {matrix}, [](T x) { return square(as_strided(contiguous(x), {3, 3}, {1, 2}, 2)); }},
      {"clone", {matrix}, [](T x) { return square(clone(x)); }},
      {"contiguous", {matrix}, [](T x) { return square(contiguous(mT(x))); }},
      {"slice assignment", {matrix, real({4})}, [](T x, T row) {
         Tensor y = x * x;
         Tensor middle = select(y, 0, 1);
         copy_(middle, row * row);
         return y * x;
       }},
      {"write through a view of a view", {matrix, real({2, 2})}, [](T x, T block) {
         Tensor y = x * 2.0;
         Tensor part = slice(slice(y, 0, 1), 1, 0, 4, 2);
         mul_(part, block);
         return square(y);
       }},
  };
}

}  // namespace plumb::testing

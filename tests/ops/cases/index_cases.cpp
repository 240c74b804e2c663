// Rows of indexing. Indices repeat places, so that sums in the derivatives are seen.
#include "ops/index.h"

#include "ops/elementary.h"
#include "ops/pointwise.h"
#include "ops/shape.h"
#include "tests/ops/op_table.h"

namespace plumb::testing {

std::vector<OpCase> index_cases() {
  using T = const Tensor&;
  const InputSpec matrix = real({3, 4}), cube = real({2, 3, 4});
  const InputSpec places = fixed(tensor({{0, 2, 1}, {2, 2, 0}})), line = fixed(tensor({2, 0, 2, 1}));
  auto reduced = [](ScatterReduce how, bool include_self) {
    return [=](T x, T index, T src) { return square(scatter_reduce(x, 0, index, src, how, include_self)); };
  };
  return {
      {"gather",
       {matrix, places},
       [](T x, T i) {
         return std::vector<Tensor>{square(gather(x, 0, i)), square(gather(x, 1, i))};
       }},
      {"gather of a number", {real({})}, [](T x) { return square(gather(x, 0, scalar_tensor(0, i64, x.device()))); }},
      {"take_along", {cube, fixed(tensor({{{1}, {3}, {3}}}))}, [](T x, T i) { return square(take_along(x, i, -1)); }},
      {"take", {cube, fixed(tensor({{5, -1}, {5, 23}}))}, [](T x, T i) { return square(take(x, i)); }},
      {"index_select", {cube, line}, [](T x, T i) { return square(index_select(x, 1, i)); }},
      {"scatter", {matrix, places, real({2, 4})}, [](T x, T i, T src) { return square(scatter(x, 0, i, src)); }},
      {"scatter along the last", {matrix, places, real({2, 3})}, [](T x, T i, T src) { return square(scatter(x, 1, i, src)); }},
      {"scatter of a number", {matrix, places}, [](T x, T i) { return square(scatter(x, 1, i, 1.5)); }},
      {"scatter_add", {matrix, places, real({2, 3})}, [](T x, T i, T src) { return square(scatter_add(x, 1, i, src)); }},
      {"scatter_reduce sum", {matrix, places, real({2, 3})}, reduced(ScatterReduce::sum, false)},
      {"scatter_reduce mean", {matrix, places, real({2, 3})}, reduced(ScatterReduce::mean, true)},
      {"scatter_reduce mean of others", {matrix, places, real({2, 3})}, reduced(ScatterReduce::mean, false)},
      {"scatter_reduce prod", {matrix, places, real({2, 3})}, reduced(ScatterReduce::prod, true)},
      {"scatter_reduce prod of others", {matrix, places, real({2, 3})}, reduced(ScatterReduce::prod, false)},
      {"scatter_reduce prod with zeros",
       {matrix, fixed(tensor({{1, 1}, {1, 1}, {1, 1}})), real({3, 2})},
       [](T x, T i, T src) {
         return scatter_reduce(x, 0, i, src * to(tensor({{1, 0}, {0, 1}, {1, 1}}, src.dtype()), src.device()), ScatterReduce::prod);
       }},
      {"scatter_reduce amax", {matrix, places, real({2, 3})}, reduced(ScatterReduce::amax, true)},
      {"scatter_reduce amin of others", {matrix, places, real({2, 3})}, reduced(ScatterReduce::amin, false)},
      {"index_add", {cube, line, real({2, 4, 4})}, [](T x, T i, T src) { return square(index_add(x, 1, i, src)); }},
      {"index_copy", {cube, line, real({2, 4, 4})}, [](T x, T i, T src) { return square(index_copy(x, 1, i, src)); }},
      {"index",
       {cube, fixed(tensor({{0, 1}, {1, 1}})), fixed(tensor({-1, 0}))},
       [](T x, T a, T b) {
         return std::vector<Tensor>{square(index(x, {a, b})), square(index(x, {a, Tensor(), b})), square(index(x, {Tensor(), b}))};
       }},
      {"index_put",
       {cube, fixed(tensor({0, 1, 0})), fixed(tensor({2, 0, 2})), real({3, 4})},
       [](T x, T a, T b, T v) {
         return std::vector<Tensor>{square(index_put(x, {a, b}, v)), square(index_put(x, {a, b}, v, true))};
       }},
      {"index_put broadcast",
       {cube, fixed(tensor({0, 1, 0})), real({3})},
       [](T x, T a, T v) {
         return square(index_put(x, {a, Tensor(), a}, unsqueeze(v, 1), true));
       }},
      {"masked_select", {matrix, fixed(tensor({true, false, true, true}))}, [](T x, T m) { return square(masked_select(x, m)); }},
      {"masked_fill",
       {matrix, fixed(tensor({true, false, true, true})), real({})},
       [](T x, T m, T v) {
         return std::vector<Tensor>{square(masked_fill(x, m, 0.5)), square(masked_fill(x, m, v))};
       }},
      {"slice_assign", {matrix, real({2})}, [](T x, T src) { return square(slice_assign(x, src, 1, 0, 4, 2)); }},
  };
}

}  // namespace plumb::testing

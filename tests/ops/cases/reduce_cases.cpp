// Rows of reductions.
#include "ops/reduce.h"

#include <cmath>

#include "ops/elementary.h"
#include "ops/pointwise.h"
#include "ops/shape.h"
#include "tests/ops/op_table.h"

namespace plumb::testing {

std::vector<OpCase> reduce_cases() {
  using T = const Tensor&;
  const InputSpec cube = real({2, 3, 4});
  return {
      {"sum", {cube}, [](T x) { return square(sum(x)); }},
      {"sum over dims",
       {cube},
       [](T x) {
         return square(sum(x, {0, -1}));
       }},
      {"sum keeping dims", {cube}, [](T x) { return square(sum(x, {1}, true)); }},
      {"mean", {cube}, [](T x) { return square(mean(x)); }},
      {"mean over dims",
       {cube},
       [](T x) {
         return square(mean(x, {1, 2}, true));
       }},
      {"prod",
       {cube},
       [](T x) {
         return std::vector<Tensor>{prod(x), prod(x, {1}), prod(x, {0, 2}, true)};
       }},
      {"prod with zeros",
       {real({3, 3})},
       [](T x) {
         return prod(x * to(tensor({{1, 0, 1}, {0, 1, 0}, {1, 1, 1}}, x.dtype()), x.device()), {1});
       }},
      {"var",
       {cube},
       [](T x) {
         return std::vector<Tensor>{var(x), var(x, {0, 2}, 0), var(x, {1}, 1, true)};
       }},
      {"std_dev",
       {cube},
       [](T x) {
         return std::vector<Tensor>{std_dev(x), std_dev(x, {0, 2}, 0)};
       }},
      {"norm 2",
       {cube},
       [](T x) {
         return std::vector<Tensor>{norm(x), norm(x, 2, {1})};
       }},
      {"norm 1",
       {cube.away_from({0})},
       [](T x) {
         return square(norm(x, 1, {0, 2}, true));
       }},
      {"norm inf",
       {cube.away_from({0})},
       [](T x) {
         return std::vector<Tensor>{square(norm(x, INFINITY, {1})), square(norm(x, -INFINITY))};
       }},
      {"norm 3",
       {cube.away_from({0}, 0.2)},
       [](T x) {
         return std::vector<Tensor>{norm(x, 3, {1}), norm(x, 1.5, {0, 2}), norm(x, -1)};
       },
       false,
       16},
      {"logsumexp",
       {cube},
       [](T x) {
         return std::vector<Tensor>{logsumexp(x), logsumexp(x, {0, 2}), logsumexp(x, {1}, true)};
       }},
      {"max along a dim",
       {cube},
       [](T x) {
         return std::vector<Tensor>{square(max(x, 1).values), square(max(x, -1, true).values)};
       }},
      {"min along a dim", {cube}, [](T x) { return square(min(x, 0).values); }},
      {"max",
       {cube},
       [](T x) {
         return std::vector<Tensor>{square(max(x)), square(min(x))};
       }},
      {"amax",
       {cube},
       [](T x) {
         return square(amax(x, {0, 2}));
       }},
      {"amin keeping dims",
       {cube},
       [](T x) {
         return square(amin(x, {1, 2}, true));
       }},
  };
}

}  // namespace plumb::testing

// Rows of reductions.
#include "ops/reduce.h"

#include "ops/elementary.h"
#include "tests/ops/op_table.h"

namespace plumb::testing {

std::vector<OpCase> reduce_cases() {
  using T = const Tensor&;
  const InputSpec cube = real({2, 3, 4});
  return {
      {"sum", {cube}, [](T x) { return square(sum(x)); }},
      {"sum over dims", {cube}, [](T x) { return square(sum(x, {0, -1})); }},
      {"sum keeping dims", {cube}, [](T x) { return square(sum(x, {1}, true)); }},
      {"mean", {cube}, [](T x) { return square(mean(x)); }},
      {"mean over dims", {cube}, [](T x) { return square(mean(x, {1, 2}, true)); }},
      {"max along a dim", {cube}, [](T x) { return std::vector<Tensor>{square(max(x, 1).values), square(max(x, -1, true).values)}; }},
      {"min along a dim", {cube}, [](T x) { return square(min(x, 0).values); }},
      {"max", {cube}, [](T x) { return std::vector<Tensor>{square(max(x)), square(min(x))}; }},
      {"amax", {cube}, [](T x) { return square(amax(x, {0, 2})); }},
      {"amin keeping dims", {cube}, [](T x) { return square(amin(x, {1, 2}, true)); }},
  };
}

}  // namespace plumb::testing

// Rows of elementary and special functions.
#include "ops/elementary.h"

#include "ops/pointwise.h"
#include "tests/ops/op_table.h"

namespace plumb::testing {

std::vector<OpCase> elementary_cases() {
  const Shape s{2, 3};
  InputSpec open = within(-0.9, 0.9, s);
  return {
      {"abs", {real(s).away_from({0})}, abs, true},
      {"square", {real(s)}, square, true},
      {"sqrt", {positive(s)}, sqrt, true},
      {"rsqrt", {positive(s)}, rsqrt, true},
      {"reciprocal", {positive(s)}, reciprocal, true},
      {"exp", {real(s)}, exp, true},
      {"exp2", {real(s)}, exp2, true},
      {"expm1", {real(s)}, expm1, true},
      {"log", {positive(s)}, log, true},
      {"log2", {positive(s)}, log2, true},
      {"log10", {positive(s)}, log10, true},
      {"log1p", {within(-0.6, 2, s)}, log1p, true},
      {"sin", {real(s)}, sin, true},
      {"cos", {real(s)}, cos, true},
      {"tan", {within(-1.2, 1.2, s)}, tan, true},
      {"asin", {open}, asin, true},
      {"acos", {open}, acos, true},
      {"atan", {real(s)}, atan, true},
      {"sinh", {real(s)}, sinh, true},
      {"cosh", {real(s)}, cosh, true},
      {"tanh", {real(s)}, tanh, true},
      {"asinh", {real(s)}, asinh, true},
      {"acosh", {within(1.3, 3, s)}, acosh, true},
      {"atanh", {open}, atanh, true},
      {"erf", {real(s)}, erf, true},
      {"erfc", {real(s)}, erfc, true},
      {"erfinv", {within(-0.8, 0.8, s)}, erfinv, true},
      {"lgamma", {positive(s)}, lgamma, true},
      {"digamma", {positive(s)}, digamma, true},
      {"polygamma 2", {positive(s)}, [](const Tensor& x) { return polygamma(2, x); }, true, 32},
      {"sigmoid", {real(s)}, sigmoid, true},
      // Piecewise constant: the derivative is 0 beside the steps.
      {"sign", {real(s).away_from({0})}, sign, true},
      {"floor", {real(s).away_from({-2, -1, 0, 1, 2})}, floor, true},
      {"ceil", {real(s).away_from({-2, -1, 0, 1, 2})}, ceil, true},
      {"trunc", {real(s).away_from({-2, -1, 0, 1, 2})}, trunc, true},
      {"round", {real(s).away_from({-1.5, -0.5, 0.5, 1.5})}, round, true},
      {"nan_to_zero", {real(s)}, nan_to_zero, true},
  };
}

}  // namespace plumb::testing

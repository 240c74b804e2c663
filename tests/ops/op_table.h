// The table of operations: one row an operation, on which the general checks run (derivatives to second order, strides, broadcasting,
// every floating type against f64, zero sizes).
#pragma once
#include <string>
#include <vector>

#include "ops/tensor_function.h"

namespace plumb::testing {

/// One input of a row: random values in [low, high], at least `margin` from every kink; or a fixed tensor (indices, masks).
struct InputSpec {
  Shape shape;
  double low = -2, high = 2;
  std::vector<double> kinks = {};
  double margin = 0.05;
  Tensor fixed = {};

  InputSpec away_from(std::vector<double> where, double distance = 0.05) const {
    InputSpec s = *this;
    s.kinks = std::move(where);
    s.margin = distance;
    return s;
  }
};
inline InputSpec real(const Shape& shape) { return {shape}; }                           ///< in [−2, 2]
inline InputSpec positive(const Shape& shape) { return {shape, 0.3, 2.5}; }             ///< in [0.3, 2.5]
inline InputSpec within(double low, double high, const Shape& shape) { return {shape, low, high}; }
inline InputSpec fixed(const Tensor& value) { return {.shape = value.shape(), .fixed = value}; }  ///< integer or bool

using Args = std::vector<Tensor>;

/// A row. `function` takes the inputs as one vector (const Args& x) or each by itself, and returns a Tensor or several.
struct OpCase {
  std::string name;
  std::vector<InputSpec> inputs;
  TensorFunction function;
  bool elementwise = false;    ///< floating inputs broadcast: runs with broadcast inputs and zero sizes too
  double tolerance = 8;        ///< in epsilons of the type, for results in f32, bf16 and f16
  bool second_order = true;    ///< false: the operation's docstring says that it can be differentiated once only
  bool low_precision = true;   ///< false: f64 and f32 only
};

// One function a family, in tests/ops/cases/<family>_cases.cpp; all_cases.cpp puts them together.
std::vector<OpCase> all_op_cases();

}  // namespace plumb::testing

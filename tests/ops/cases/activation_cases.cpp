// Rows of activation functions.
#include "ops/activation.h"

#include "tests/ops/op_table.h"

namespace plumb::testing {

std::vector<OpCase> activation_cases() {
  const Shape s{2, 3};
  using T = const Tensor&;
  InputSpec wide = within(-5, 5, s);
  return {
      {"relu", {real(s).away_from({0})}, relu, true},
      {"leaky_relu", {real(s).away_from({0})}, [](T x) { return leaky_relu(x, 0.2); }, true},
      {"elu", {real(s).away_from({0})}, [](T x) { return elu(x, 1.3); }, true},
      {"relu6", {within(-3, 9, s).away_from({0, 6})}, relu6, true},
      {"gelu", {wide}, [](T x) { return gelu(x); }, true},
      {"gelu tanh", {wide}, [](T x) { return gelu(x, GeluForm::tanh); }, true},
      {"silu", {wide}, silu, true},
      {"mish", {wide}, mish, true},
      {"softplus", {wide}, [](T x) { return softplus(x); }, true},
      {"softplus beta", {wide.away_from({2})}, [](T x) { return softplus(x, 3, 6); }, true, 8, false},
      {"logsigmoid", {wide}, logsigmoid, true},
      {"softsign", {real(s).away_from({0})}, softsign, true},
      {"hardtanh", {real(s).away_from({-1, 1})}, [](T x) { return hardtanh(x); }, true},
      {"hardsigmoid", {wide.away_from({-3, 3})}, hardsigmoid, true},
      {"hardswish", {wide.away_from({-3, 3})}, hardswish, true},
  };
}

}  // namespace plumb::testing

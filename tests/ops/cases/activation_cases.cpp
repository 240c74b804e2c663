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
      {"selu", {wide.away_from({0})}, selu, true},
      {"celu", {wide.away_from({0})}, [](T x) { return celu(x, 1.4); }, true},
      {"prelu", {wide.away_from({0}), real({})}, [](T x, T w) { return prelu(x, w); }},
      {"prelu by channel", {within(-5, 5, {2, 3, 2}).away_from({0}), real({3})}, [](T x, T w) { return prelu(x, w); }},
      {"glu", {real({2, 4, 3})}, [](T x) { return glu(x, 1); }},
      {"softshrink", {wide.away_from({-0.5, 0.5})}, [](T x) { return softshrink(x); }, true},
      {"hardshrink", {wide.away_from({-0.5, 0.5})}, [](T x) { return hardshrink(x); }, true},
      {"tanhshrink", {wide}, tanhshrink, true},
      {"logit", {within(0.1, 0.9, s)}, [](T x) { return logit(x); }, true},
      {"logit within eps", {within(0, 1, s).away_from({0.2, 0.8})}, [](T x) { return logit(x, 0.2); }, true},
      {"hardswish", {wide.away_from({-3, 3})}, hardswish, true},
  };
}

}  // namespace plumb::testing

// Independently recurrent and convolutional recurrent cells: worked numbers, the vector cells they become at one pixel, derivatives,
// errors.
#include "models/nn/conv_recurrent.h"

#include <doctest/doctest.h>

#include "engine/core/generator.h"
#include "models/nn/ind_rnn.h"
#include "ops/recurrent.h"
#include "ops/shape.h"
#include "tests/models/module_gradients.h"

using namespace plumb;

namespace {

void set(const nn::Parameter& p, std::vector<double> values) { copy_data(from_vector(values, p.shape()), const_cast<nn::Parameter&>(p)); }

Tensor number(double v) { return full({1, 1, 1, 1}, v, f64); }
nn::ConvCellOptions one_pixel() { return {.kernel = 1, .dtype = f64}; }

}  // namespace

TEST_CASE("ind_rnn_cell: three steps by hand") {
  nn::IndRNNCell cell(2, 2, {.dtype = f64});
  set(cell.input.weight, {0.5, -0.25, 1, 0.75});
  set(cell.input.bias, {0.1, -0.2});
  set(cell.recurrent, {0.5, -1});
  Tensor x = tensor({{1.0, -2.0}}, f64), h;
  const double expected[] = {1.1, 1.65, 1.925};
  for (double first : expected) {
    h = cell(x, h);
    CHECK(to_vector(h)[0] == doctest::Approx(first).epsilon(1e-14));
    CHECK(to_vector(h)[1] == 0);
  }
  CHECK(cell.named_parameters()[0].name == "recurrent");
  CHECK_THROWS_WITH_AS(cell(x, zeros({2, 2}, f64)), "ind_rnn_cell: the hidden state is [2, 2], it should be [1, 2]", ShapeError);
  CHECK_THROWS_AS(nn::IndRNNCell(2, 0), ValueError);
}

TEST_CASE("conv_ind_rnn_cell: every pixel and channel by itself with a 1×1 kernel") {
  manual_seed(1);
  nn::ConvIndRNNCell cell(3, 4, one_pixel());
  nn::IndRNNCell vector(3, 4, {.dtype = f64});
  set(vector.input.weight, to_vector(cell.input.weight));
  set(vector.input.bias, to_vector(cell.input.bias));
  set(vector.recurrent, to_vector(cell.recurrent));
  Tensor x = test::sample({2, 3, 2, 5}, 1), h = test::sample({2, 4, 2, 5}, 2);
  auto rows = [](const Tensor& t) { return reshape(permute(t, {0, 2, 3, 1}), {-1, t.size(1)}); };
  CHECK(test::difference(rows(cell(x, h)), vector(rows(x), rows(h))) < 1e-14);
  CHECK(test::difference(rows(cell(x)), vector(rows(x))) < 1e-14);
}

TEST_CASE("conv_gru_cell: one number by hand") {
  nn::ConvGRUCell cell(1, 1, {.kernel = 1, .bias = false, .dtype = f64});
  set(cell.input.weight, {0.3, -0.2, 0.7});
  set(cell.hidden.weight, {0.1, 0.4, 0.6});
  CHECK(cell(number(0.5), number(0.2)).item() == doctest::Approx(0.297356).epsilon(2e-6));  // r .542398, z .495, n .392784
}

TEST_CASE("convolutional cells: at one pixel they are the vector cells") {
  manual_seed(2);
  nn::ConvGRUCell gru(2, 3, one_pixel());
  nn::ConvLSTMCell lstm(2, 3, one_pixel());
  Tensor x = test::sample({4, 2, 1, 1}, 3), h = test::sample({4, 3, 1, 1}, 4), c = test::sample({4, 3, 1, 1}, 5);
  auto flat = [](const Tensor& t) { return reshape(t, {t.size(0), t.size(1)}); };
  auto weights = [&](const nn::ConvGates& g) { return RecurrentWeights{flat(g.input.weight), flat(g.hidden.weight), g.input.bias, {}}; };
  CHECK(test::difference(flat(gru(x, h)), gru_cell(flat(x), flat(h), weights(gru))) < 1e-14);
  CHECK(test::difference(flat(gru(x)), gru_cell(flat(x), zeros({4, 3}, f64), weights(gru))) < 1e-14);
  LstmState next = lstm(x, {h, c}), expected = lstm_cell(flat(x), {flat(h), flat(c)}, weights(lstm));
  CHECK(test::difference(flat(next.h), expected.h) < 1e-14);
  CHECK(test::difference(flat(next.c), expected.c) < 1e-14);
  CHECK(test::difference(flat(lstm(x).c), lstm_cell(flat(x), {zeros({4, 3}, f64), zeros({4, 3}, f64)}, weights(lstm)).c) < 1e-14);
}

TEST_CASE("conv_mgu_cell: one number by hand") {
  nn::ConvMGUCell cell(1, 1, {.kernel = 1, .bias = false, .dtype = f64});
  set(cell.input.weight, {-0.2, 0.7});
  set(cell.hidden.weight, {0.4, 0.6});
  double f = 1 / (1 + std::exp(0.02)), n = std::tanh(0.35 + f * 0.12);
  CHECK(cell(number(0.5), number(0.2)).item() == doctest::Approx((1 - f) * n + f * 0.2).epsilon(1e-13));
}

TEST_CASE("convolutional cells: derivatives, sizes, errors") {
  manual_seed(3);
  const nn::ConvCellOptions wide{.kernel = 3, .dilation = 2, .padding_mode = PadMode::replicate, .dtype = f64};
  Tensor x = test::sample({2, 2, 5, 4}, 6), h = test::sample({2, 3, 5, 4}, 7);
  nn::ConvGRUCell gru(2, 3, wide);
  nn::ConvMGUCell mgu(2, 3, wide);
  nn::ConvLSTMCell lstm(2, 3, wide);
  nn::ConvIndRNNCell ind(2, 3, wide);
  plumb_test::check_module_gradients(gru, {x, h}, [&] { return gru(x, gru(x, h)); });
  plumb_test::check_module_gradients(mgu, {x, h}, [&] { return mgu(x, mgu(x, h)); });
  plumb_test::check_module_gradients(lstm, {x, h}, [&] { return lstm(x, lstm(x, {h, h})).h; });
  plumb_test::check_module_gradients(ind, {x}, [&] { return ind(x, ind(x)); });
  CHECK(gru(x, h).shape() == Shape{2, 3, 5, 4});
  CHECK_THROWS_WITH_AS(gru(x, x), "conv_gru_cell: the hidden state is [2, 2, 5, 4], it should be [2, 3, 5, 4]", ShapeError);
  CHECK_THROWS_WITH_AS(lstm(x, {h, x}), "conv_lstm_cell: the hidden state is [2, 2, 5, 4], it should be [2, 3, 5, 4]", ShapeError);
  CHECK_THROWS_WITH_AS(nn::ConvMGUCell(2, 3, {.kernel = 4}),
                       "conv_mgu_cell: the kernel must be odd and the dilation positive, they are 4 and 1", ValueError);
}

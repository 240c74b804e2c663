// Fake quantisation with learned scales and offsets, and the search for a scale: worked numbers, limits, invariants, mistakes.
#include "models/quantize/fake_quantize.h"

#include <doctest/doctest.h>

#include <cmath>

#include "engine/autograd/backward.h"
#include "models/quantize/fit_scale.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "tests/methods/check_close.h"

using namespace plumb;
using namespace plumb::quantize;

namespace {

Tensor example() { return tensor({-1.3, -0.4, -0.05, 0.2, 0.33, 0.75, 1.6}, f64); }
Tensor number(double x) { return tensor({x}, f64); }

void check_absolute(const Tensor& got, const std::vector<double>& wanted, double within) {
  auto values = to_vector(got);
  REQUIRE(values.size() == wanted.size());
  for (size_t i = 0; i < wanted.size(); ++i) {
    CAPTURE(i);
    CHECK(std::abs(values[i] - wanted[i]) <= within);
  }
}

}  // namespace

TEST_CASE("fake_quantize: the worked example of 3 bits, its codes, values and gradients") {
  Tensor v = example().requires_grad_(), s = number(0.25).requires_grad_();
  FakeQuantizeOptions o{.codes = signed_codes(3)};
  CHECK(o.codes == CodeRange{-4, 3});
  check_absolute(codes_of(v, s, {}, o), {-4, -2, 0, 1, 1, 3, 3}, 0);
  Tensor y = fake_quantize(v, s, {}, o);
  check_absolute(y, {-1.000004, -0.500002, 0, 0.250001, 0.250001, 0.750003, 0.750003}, 1e-9);
  sum(y).backward();
  check_absolute(v.grad(), {0, 1, 1, 1, 1, 1, 0}, 0);
  CHECK(s.grad().item() == doctest::Approx(-1.31999).epsilon(1e-5));
  const std::vector<double> slopes{-4, -0.400006, 0.199999, 0.200003, -0.319995, 0.0000120, 3};
  for (int64_t i = 0; i < 7; ++i) {  // each element's own share
    s.zero_grad();
    sum(narrow(fake_quantize(v.detach(), s, {}, o), 0, i, 1)).backward();
    CHECK(std::abs(s.grad().item() - slopes[static_cast<size_t>(i)]) < 1e-6);
  }
}

TEST_CASE("fake_quantize: the scale's gradient is multiplied by 1 over the root of high times elements") {
  Tensor v = example(), s = number(0.25).requires_grad_();
  double g = scale_gradient(v, signed_codes(3), false);
  CHECK(g == doctest::Approx(0.218218).epsilon(3e-6));
  sum(fake_quantize(v, s, {}, {.codes = signed_codes(3), .gradient_scale = g})).backward();
  CHECK(s.grad().item() == doctest::Approx(-0.288045).epsilon(5e-6));
  CHECK(scale_gradient(zeros({4, 3, 5, 5}), signed_codes(3), true) == doctest::Approx(2 / std::sqrt(3.0 * 300 / 3)));
}

TEST_CASE("fake_quantize: the worked asymmetric example; its offset learns from what lies beyond the codes") {
  Tensor v = example().requires_grad_(), s = number(0.4), beta = number(0.15).requires_grad_();
  FakeQuantizeOptions o{.codes = signed_codes(3)};
  check_absolute(codes_of(v, s, beta, o), {-4, -1, 0, 0, 0, 1, 3}, 0);
  Tensor y = fake_quantize(v, s, beta, o);
  check_absolute(y, {-1.450004, -0.250001, 0.15, 0.15, 0.15, 0.550001, 1.350003}, 1e-9);
  sum(y).backward();
  CHECK(beta.grad().item() == 1);  // 1.6 alone lies beyond
  check_absolute(v.grad(), {1, 1, 1, 1, 1, 1, 0}, 0);
}

TEST_CASE("fake_quantize: a negative scale counts as its size, with the gradient's sign turned; a negative offset keeps its sign") {
  Tensor v = example(), plus = number(0.25).requires_grad_(), minus = number(-0.25).requires_grad_();
  FakeQuantizeOptions o{.codes = signed_codes(3)};
  Tensor a = fake_quantize(v, plus, {}, o), b = fake_quantize(v, minus, {}, o);
  CHECK(to_vector(a) == to_vector(b));
  sum(a).backward(), sum(b).backward();
  CHECK(minus.grad().item() == -plus.grad().item());
  Tensor shifted = fake_quantize(v - 0.3, plus.detach(), number(-0.15 - 0.3), o);
  check_absolute(shifted + 0.3, to_vector(fake_quantize(v, plus.detach(), number(-0.15), o)), 1e-12);
}

TEST_CASE("fake_quantize: a zero passes its gradient where codes start from 0") {
  Tensor v = tensor({0.0, 0.1, 9.0}, f64).requires_grad_();
  sum(fake_quantize(v, number(0.1), {}, {.codes = unsigned_codes(2)})).backward();
  check_absolute(v.grad(), {1, 1, 0}, 0);
}

TEST_CASE("fake_quantize: quantising twice is quantising once, and 8 bits are within half a step inside the range") {
  Generator g(1);
  Tensor v = randn({200}, {.dtype = f64, .generator = &g});
  for (int bits : {2, 3, 5, 8}) {
    FakeQuantizeOptions o{.codes = signed_codes(bits)};
    Tensor s = number(0.11), beta = number(-0.04), once = fake_quantize(v, s, beta, o);
    check_absolute(fake_quantize(once, s, beta, o), to_vector(once), 1e-6);
  }
  double step = 0.03;  // ± 3.8
  Tensor q = fake_quantize(v, number(step), {}, {.codes = signed_codes(8)});
  auto x = to_vector(v), y = to_vector(q);
  for (size_t i = 0; i < x.size(); ++i) CHECK(std::abs(x[i] - y[i]) <= step / 2 + 2e-4);
}

TEST_CASE("fake_quantize: equal scales of channels are one scale, and each channel's scale gets its own gradient") {
  Generator g(2);
  Tensor w = randn({3, 2, 3, 3}, {.dtype = f64, .generator = &g});
  FakeQuantizeOptions o{.codes = signed_codes(4)};
  Tensor one = number(0.2).requires_grad_(), three = full({3}, 0.2, f64).requires_grad_();
  Tensor a = fake_quantize(w, one, {}, o), b = fake_quantize(w, three, {}, o);
  CHECK(to_vector(a) == to_vector(b));
  sum(a * w).backward(), sum(b * w).backward();
  CHECK(sum(three.grad()).item() == doctest::Approx(one.grad().item()).epsilon(1e-12));
  Tensor along = fake_quantize(transpose(w, 0, 1), three.detach(), {}, {.codes = signed_codes(4), .axis = 1});
  CHECK(to_vector(along) == to_vector(transpose(a, 0, 1)));
}

TEST_CASE("fake_quantize: mistakes are named") {
  Tensor v = example();
  CHECK_THROWS_WITH_AS(signed_codes(9), "quantize: 9 bits are not supported; choose 2 to 8", ValueError);
  CHECK_THROWS_WITH_AS(unsigned_codes(1), "quantize: 1 bits are not supported; choose 2 to 8", ValueError);
  CHECK_THROWS_WITH_AS(fake_quantize(v, tensor({1.0, 2.0}, f64), {}),
                       "fake_quantize: scale [2] is neither one number nor one for each place of dimension 0 of [7]", ShapeError);
  CHECK_THROWS_WITH_AS(fake_quantize(v, number(1), {}, {.codes = {3, 3}}), "fake_quantize: code 3 is not below code 3", ValueError);
  CHECK_THROWS_AS(fake_quantize(tensor({1, 2}), number(1), {}), DTypeError);
}

TEST_CASE("fit_scale: the worked scales of 2, 3 and 4 bits keep the whole range") {
  for (auto [bits, scale] : {std::pair{2, 1.06667}, {3, 0.457143}, {4, 0.213333}}) {
    FittedScale f = fit_scale(example(), signed_codes(bits));
    CHECK(f.scale.item() == doctest::Approx(scale).epsilon(5e-6));
    CHECK(f.shrunk == std::vector<int64_t>{0});
    CHECK(f.offset.item() == 0);
  }
}

TEST_CASE("fit_scale: one far value is cut off at few bits and not at eight") {
  Generator g(3);
  Tensor v = randn({500}, {.dtype = f64, .generator = &g});
  v.data<double>()[7] = 9;
  CHECK(fit_scale(v, signed_codes(2)).shrunk[0] > 10);
  CHECK(fit_scale(v, signed_codes(8)).shrunk[0] < fit_scale(v, signed_codes(2)).shrunk[0]);
}

TEST_CASE("fit_scale: asymmetric ranges, codes from 0, and channels") {
  Tensor v = tensor({1.0, 1.5, 2.0, 4.0}, f64);
  FittedScale f = fit_scale(v, signed_codes(8), {.symmetric = false, .steps = 1});
  CHECK(f.scale.item() == doctest::Approx(3.0 / 255));
  CHECK(f.offset.item() == doctest::Approx(1 + 128 * 3.0 / 255));
  FittedScale zero = fit_scale(v, unsigned_codes(2), {.steps = 1});
  CHECK(zero.scale.item() == doctest::Approx(4.0 / 3));
  CHECK(fit_scale(v, unsigned_codes(2), {.symmetric = false, .steps = 1}).offset.item() == -1e-9);
  Tensor rows = tensor({{1.0, -2.0}, {0.5, 0.25}}, f64);
  check_close(fit_scale(rows, signed_codes(8), {.axis = 0, .steps = 1}).scale, {4.0 / 255, 1.0 / 255}, 1e-12);
  check_close(fit_scale(rows, signed_codes(8), {.axis = 1, .steps = 1}).scale, {2.0 / 255, 4.0 / 255}, 1e-12);
  CHECK(never_negative(v));
  CHECK_FALSE(never_negative(rows));
}

TEST_CASE("fit_scale: what has no range is named") {
  CHECK_THROWS_WITH_AS(fit_scale(zeros({4}), signed_codes(4)), "fit_scale: the tensor is 0 everywhere, so no scale fits it",
                       ValueError);
  CHECK_THROWS_WITH_AS(fit_scale(tensor({{1.0, 2.0}, {0.0, 0.0}}), signed_codes(4), {.axis = 0}),
                       "fit_scale: channel 1 is 0 everywhere, so no scale fits it", ValueError);
  CHECK_THROWS_WITH_AS(fit_scale(full({3}, 2.0), signed_codes(4), {.symmetric = false}),
                       "fit_scale: the tensor is 2 everywhere, so no scale fits it", ValueError);
  CHECK_THROWS_WITH_AS(fit_scale(tensor({-1.0, 2.0}), unsigned_codes(4)),
                       "fit_scale: the tensor holds -1, and the codes start from 0", ValueError);
  CHECK_THROWS_AS(fit_scale(tensor({1.0, INFINITY}), signed_codes(4)), ValueError);
  CHECK_THROWS_AS(fit_scale(example(), signed_codes(4), {.steps = 101}), ValueError);
}

TEST_CASE("fake_quantize: the offset's gradient is multiplied as the scale's is") {
  Tensor v = tensor({-9.0, 0.1, 9.0}, f64), s = number(0.25), b = number(0.1).requires_grad_();
  sum(fake_quantize(v, s, b, {.codes = signed_codes(3), .gradient_scale = 0.25})).backward();
  CHECK(b.grad().item() == 0.5);  // two of three lie beyond the codes
}

TEST_CASE("fit_scale: errors are those of a sample, the range that of all; of equal errors the widest range is kept") {
  std::vector<double> values;
  for (int i = 0; i < 200; ++i) {
    values.push_back(i % 40 == 0 ? 1 : 0);   // on the grid of step 1, which is that of the whole range
    values.push_back(i == 20 ? 3.5 : 0.8);   // most of them on that of step 0.8
  }
  Tensor v = from_vector(values);
  FittedScale sampled = fit_scale(v, signed_codes(3), {.max_elements = 200}), all = fit_scale(v, signed_codes(3));
  CHECK(sampled.scale.item() == 1);
  CHECK(sampled.shrunk[0] == 0);
  CHECK(all.shrunk[0] > 0);
  CHECK(fit_scale(tensor({1e-200, -3e-201}, f64), signed_codes(3)).shrunk[0] == 0);  // powers of such errors are all 0
}

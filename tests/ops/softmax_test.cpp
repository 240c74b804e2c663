// Softmax against plain loops in f64.
#include "ops/softmax.h"

#include <doctest/doctest.h>

#include "engine/core/parallel.h"
#include "tests/ops/samples.h"

using namespace plumb;
using namespace plumb::test;

namespace {

constexpr double kInf = INFINITY;

// [outer, n, inner], over n.
Tensor reference(const Tensor& x, int dim, double tau, bool logarithm) {
  std::vector<double> v = to_vector(x), out(v.size());
  int64_t n = x.size(dim), inner = 1;
  for (int d = dim + 1; d < x.rank(); ++d) inner *= x.size(d);
  for (int64_t o = 0; o < x.numel() / (n * inner); ++o)
    for (int64_t c = 0; c < inner; ++c) {
      auto at = [&](int64_t i) { return static_cast<size_t>((o * n + i) * inner + c); };
      double total = 0;
      for (int64_t i = 0; i < n; ++i) total += std::exp(v[at(i)] / tau);
      for (int64_t i = 0; i < n; ++i) out[at(i)] = logarithm ? v[at(i)] / tau - std::log(total) : std::exp(v[at(i)] / tau) / total;
    }
  return from_vector(out, x.shape());
}

double tolerance(DType t) { return t == f64 ? 1e-14 : t == f32 ? 1e-6 : t == bf16 ? 1.0 / 200 : 1.0 / 1800; }

}  // namespace

TEST_CASE("softmax and log_softmax: values over every dimension, in every type, for any strides") {
  for (DType t : {f64, f32, bf16, f16})
    for (const Shape& shape : {Shape{3, 7, 5}, Shape{2, 33, 70}, Shape{1, 1, 1}, Shape{4, 2, 100}})
      for (int dim : {0, 1, 2}) {
        Tensor x = sample(shape, 5, t);
        CAPTURE(name(t));
        CAPTURE(dim);
        CHECK(difference(softmax(x, dim), reference(x, dim, 1, false)) < tolerance(t));
        CHECK(difference(log_softmax(strided(x), dim, 0.5), reference(x, dim, 0.5, true)) < tolerance(t));
        CHECK(softmax(x, dim - 3).dtype() == t);
      }
  CHECK(softmax(scalar_tensor(3.0, f32), 0).item() == 1);
  CHECK(softmax(zeros({2, 0, 3}), 1).shape() == Shape{2, 0, 3});
  CHECK(softmax(zeros({0, 3}), 1).shape() == Shape{0, 3});
}

TEST_CASE("softmax: infinities give no NaN") {
  for (int dim : {0, 1}) {
    Tensor x = tensor({{0.0, -kInf, -kInf}, {-kInf, -kInf, -kInf}, {kInf, 0.0, kInf}, {1e4, -1e4, 1e4}});
    Tensor y = dim == 1 ? softmax(x, 1) : transpose(softmax(contiguous(transpose(x, 0, 1)), 0), 0, 1);
    CHECK(to_vector(y) == std::vector<double>{1, 0, 0, 0, 0, 0, 0.5, 0, 0.5, 0.5, 0, 0.5});
    Tensor z = dim == 1 ? log_softmax(x, 1) : transpose(log_softmax(contiguous(transpose(x, 0, 1)), 0), 0, 1);
    CHECK(difference(z, tensor({{0.0, -kInf, -kInf},
                                {-kInf, -kInf, -kInf},
                                {-std::log(2.0), -kInf, -std::log(2.0)},
                                {-std::log(2.0), -2e4 - std::log(2.0), -std::log(2.0)}},
                               f64)) <= 0x1p-24);  // each rounded once
  }
  CHECK(std::isnan(to_vector(softmax(tensor({0.0, NAN}), 0))[0]));
  Tensor hidden = softmax(tensor({-kInf, NAN}), 0);
  CHECK(std::isnan(to_vector(hidden)[1]));
}

// With ε half a unit in the last place: log_softmax's |y| is rounded when x's maximum is taken off and when the logarithm of the sum is,
// which exp turns into a relative error of as many |y| ε; exp itself, the sum of n terms, the division and the storing add a few.
TEST_CASE("softmax and exp(log_softmax) differ by what rounding log_softmax does, element by element") {
  for (DType t : {f64, f32, bf16, f16})
    for (int dim : {0, 1}) {
      Tensor x = sample({40, 50}, 9, t, -6, 6);
      std::vector<double> p = to_vector(softmax(x, dim)), y = to_vector(log_softmax(x, dim)),
                          exact = to_vector(reference(x, dim, 1, false));
      double computed = t == f64 ? 0x1p-53 : 0x1p-24, stored = t == f64 ? 0x1p-53 : t == f32 ? 0x1p-24 : t == bf16 ? 0x1p-8 : 0x1p-11;
      double smallest = t == f16 ? 0x1p-25 : 0;  // half a step of the subnormal numbers
      for (size_t i = 0; i < p.size(); ++i) {
        double allowed = (std::abs(y[i]) * 2 + 14) * computed;
        CHECK(std::abs(p[i] - exact[i]) <= exact[i] * ((std::abs(y[i]) + 12) * computed + stored) + smallest);
        CHECK(std::abs(std::exp(y[i]) - p[i]) <= p[i] * (allowed + stored * (std::abs(y[i]) + 1)) + smallest);
      }
    }
}

TEST_CASE("softmax: derivatives to second order") {
  Tensor x = sample({3, 4, 5}, 1);
  for (int dim : {0, 1, 2}) {
    CHECK(derivative_error([&](const Tensor& v) { return softmax(v, dim, 0.7); }, x) < 1e-7);
    CHECK(derivative_error([&](const Tensor& v) { return log_softmax(v, dim, 1.3); }, x) < 1e-7);
  }
}

TEST_CASE("softmax: the fused gradient equals the formula's in every type, over dense and strided rows") {
  for (DType t : {f32, bf16, f16})
    for (int dim : {0, 1}) {
      Tensor x = sample({65, 70}, 1, t).requires_grad_();
      for (const Tensor& y : {softmax(x, dim), log_softmax(x, dim)})
        CHECK(difference(gradients(y, {x}, false)[0], gradients(y, {x}, true)[0]) < 4 * tolerance(t));
    }
}

TEST_CASE("masked_softmax: nothing outside the mask, zeros for rows without any") {
  Tensor x = tensor({{1.0, 2.0, 3.0}, {4.0, 5.0, 6.0}}, f64).requires_grad_();
  Tensor mask = tensor({{true, false, true}, {false, false, false}}, boolean);
  Tensor y = masked_softmax(x, mask, 1);
  double p = 1 / (1 + std::exp(2));
  CHECK(difference(y, tensor({{p, 0.0, 1 - p}, {0.0, 0.0, 0.0}}, f64)) < 1e-14);
  Tensor dx = gradients(y, {x}, false)[0];
  CHECK(to_vector(dx)[1] == 0);
  CHECK(to_vector(dx)[4] == 0);
  CHECK(to_vector(masked_log_softmax(x, mask, 1))[1] == -kInf);
  CHECK(derivative_error([&](const Tensor& v) { return masked_softmax(v, mask, 1); }, x.detach()) < 1e-7);
  CHECK_THROWS_WITH_AS(masked_softmax(x, ones({3, 1}, boolean), 1), "masked_softmax: shapes [2, 3] and [3, 1] do not broadcast",
                       ShapeError);
}

TEST_CASE("softmax: bad input is named, and threads change no bit") {
  CHECK_THROWS_WITH_AS(softmax(zeros({2}), 0, 0), "softmax: the temperature must be positive, it is 0", ValueError);
  CHECK_THROWS_AS(softmax(zeros({2}), 1), IndexError);
  int before = num_threads();
  Tensor x = sample({130, 301}, 2, f32), rows, columns;
  for (int threads : {1, 2, 3}) {
    set_num_threads(threads);
    Tensor a = softmax(x, 1), b = softmax(x, 0);
    if (threads == 1) rows = a, columns = b;
    CHECK(same_bits(a, rows));
    CHECK(same_bits(b, columns));
  }
  set_num_threads(before);
}

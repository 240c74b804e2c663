// Initialisers: the distribution each promises, repeatability, and what they refuse.
#include "models/nn/init.h"

#include <doctest/doctest.h>

#include <cmath>

#include "models/nn/linear.h"

using namespace plumb;
namespace init = plumb::nn::init;

namespace {

struct Moments {
  double mean = 0, std = 0, low = INFINITY, high = -INFINITY;
};
Moments moments(const Tensor& t) {
  Moments m;
  std::vector<double> x = to_vector(t);
  for (double v : x) {
    m.mean += v / static_cast<double>(x.size());
    m.low = std::min(m.low, v);
    m.high = std::max(m.high, v);
  }
  for (double v : x) m.std += (v - m.mean) * (v - m.mean) / static_cast<double>(x.size());
  m.std = std::sqrt(m.std);
  return m;
}

}  // namespace

// 40,000 draws: the standard error of the mean is σ/200, that of σ about σ/283 (less for the uniform). Bounds at 5 of them.
TEST_CASE("init: uniform and normal have their moments and range") {
  Generator g(1);
  Tensor t = empty({200, 200}, f64);
  init::uniform(t, -1, 3, g);
  Moments u = moments(t);
  CHECK(u.low >= -1);
  CHECK(u.high < 3);
  CHECK(std::abs(u.mean - 1) < 5 * 1.1547 / 200);
  CHECK(std::abs(u.std - 1.1547) < 5 * 1.1547 / 283);
  init::normal(t, 2, 0.5, g);
  Moments n = moments(t);
  CHECK(std::abs(n.mean - 2) < 5 * 0.5 / 200);
  CHECK(std::abs(n.std - 0.5) < 5 * 0.5 / 283);
  CHECK(n.high > 2 + 3 * 0.5);
}

TEST_CASE("init: a truncated normal keeps within its bounds and has the variance of the truncated distribution") {
  Generator g(2);
  Tensor t = empty({40000}, f64);
  init::truncated_normal(t, 0, 1, -2, 2, g);
  Moments m = moments(t);
  CHECK(m.low >= -2);
  CHECK(m.high <= 2);
  CHECK(std::abs(m.std - 0.879626) < 0.01);  // √(1 − 2·2φ(2)/(2Φ(2) − 1))
  CHECK(std::abs(m.mean) < 5 * 0.88 / 200);
}

TEST_CASE("init: Xavier and Kaiming scale with the fans, kernels included") {
  Generator g(3);
  Tensor t = empty({64, 32, 3, 3}, f64);  // fan_in 288, fan_out 576
  init::xavier_uniform(t, 1, g);
  CHECK(moments(t).std == doctest::Approx(std::sqrt(2.0 / 864)).epsilon(0.02));
  CHECK(moments(t).high <= std::sqrt(6.0 / 864));
  init::xavier_normal(t, 2, g);
  CHECK(moments(t).std == doctest::Approx(2 * std::sqrt(2.0 / 864)).epsilon(0.02));
  init::kaiming_normal(t, std::sqrt(2.0), init::Fan::in, g);
  CHECK(moments(t).std == doctest::Approx(std::sqrt(2.0 / 288)).epsilon(0.02));
  init::kaiming_uniform(t, 1, init::Fan::out, g);
  CHECK(moments(t).std == doctest::Approx(std::sqrt(1.0 / 576)).epsilon(0.02));
}

TEST_CASE("init: orthogonal gives orthogonal rows or columns of the given length") {
  for (Shape shape : {Shape{4, 7}, Shape{7, 4}, Shape{5, 5}, Shape{6, 2, 3}}) {
    Generator g(4);
    Tensor t = empty(shape, f64);
    init::orthogonal(t, 1.5, g);
    int64_t rows = t.size(0), columns = t.numel() / rows;
    std::vector<double> w = to_vector(t);
    bool by_rows = rows <= columns;
    int64_t count = std::min(rows, columns), length = std::max(rows, columns);
    for (int64_t a = 0; a < count; ++a)
      for (int64_t b = 0; b < count; ++b) {
        double dot = 0;
        for (int64_t i = 0; i < length; ++i)
          dot += by_rows ? w[a * columns + i] * w[b * columns + i] : w[i * columns + a] * w[i * columns + b];
        CHECK(std::abs(dot - (a == b ? 2.25 : 0)) < 1e-13);
      }
  }
}

TEST_CASE("init: constants fill any strides; the diagonal of eye is one") {
  Tensor t = empty({2, 3});
  init::eye(t);
  CHECK(to_vector(t) == std::vector<double>{1, 0, 0, 0, 1, 0});
  init::constant(t, 2.5);
  CHECK(to_vector(t) == std::vector<double>(6, 2.5));
  init::zeros(view_of(t, {2}, {3}, 1));  // the middle column
  CHECK(to_vector(t) == std::vector<double>{2.5, 0, 2.5, 2.5, 0, 2.5});
}

TEST_CASE("init: the same seed gives the same numbers, and f32 has the f64 ones rounded") {
  manual_seed(7);
  nn::Linear a(30, 20);
  manual_seed(7);
  nn::Linear b(30, 20), c(30, 20);
  CHECK(to_vector(a.weight) == to_vector(b.weight));
  CHECK(to_vector(a.weight) != to_vector(c.weight));
  CHECK(moments(a.weight).high <= 1 / std::sqrt(30.0));
  Tensor wide = empty({101}, f64), narrow = empty({101});
  Generator g(5), h(5);
  init::normal(wide, 0, 1, g);
  init::normal(narrow, 0, 1, h);
  std::vector<float> rounded;
  for (double v : to_vector(wide)) rounded.push_back(static_cast<float>(v));
  CHECK(to_vector<float>(narrow) == rounded);
}

TEST_CASE("init: what cannot be is refused with its reason") {
  Tensor v = empty({3});
  CHECK_THROWS_WITH_AS(init::xavier_uniform(v), "xavier_uniform: needs a weight [out, in, ..], the shape is [3]", ShapeError);
  CHECK_THROWS_WITH_AS(init::eye(v), "eye: needs a matrix, the shape is [3]", ShapeError);
  CHECK_THROWS_AS(init::uniform(v, 1, 0), ValueError);
  CHECK_THROWS_AS(init::normal(v, 0, -1), ValueError);
  CHECK_THROWS_WITH_AS(nn::Linear(0, 3), "linear: sizes must be positive, got 0 → 3", ValueError);
}

TEST_CASE("init: orthogonal matrices are not biased towards the signs that the factorisation gives") {
  Generator generator(5);
  int positive = 0;
  for (int draw = 0; draw < 32; ++draw) {
    Tensor w = empty({3, 3}, f64);
    init::orthogonal(w, 1, generator);
    positive += to_vector(w)[0] > 0;
  }
  CHECK(positive > 4);  // 16 are expected, with a deviation of 2.8
  CHECK(positive < 28);
}

// Arithmetic on parameter sets, in any layout and type.
#include "models/optim/parameters.h"

#include "engine/core/parallel.h"
#include "optimizer_checks.h"

using namespace plumb;
using namespace plumb::test;

static std::vector<Tensor> others(const std::vector<Tensor>& like, double phase, DType dtype = f64) {
  std::vector<Tensor> out;
  for (size_t i = 0; i < like.size(); ++i) out.push_back(waves(like[i].shape(), phase + static_cast<double>(i), dtype));
  return out;
}
static std::vector<double> numbers(const std::vector<Tensor>& x) { return to_vector(optim::flatten(x)); }

TEST_CASE("parameters: axpy, scale, lerp, copy and swap are element by element, strided tensors included") {
  auto y = some_parameters(), x = others(y, 20);
  std::vector<double> a = numbers(y), b = numbers(x);
  optim::axpy(0.3, x, y);
  std::vector<double> got = numbers(y);
  for (size_t i = 0; i < a.size(); ++i) REQUIRE(got[i] == 0.3 * b[i] + a[i]);
  optim::scale(-2, y);
  CHECK(numbers(y)[20] == -2 * got[20]);
  optim::lerp(y, x, 0.25);
  CHECK(numbers(y)[33] == doctest::Approx(-1.5 * got[33] + 0.25 * b[33]));
  optim::swap(x, y);
  CHECK(numbers(y) == b);
  CHECK(numbers(x)[33] == doctest::Approx(-1.5 * got[33] + 0.25 * b[33]));
  optim::copy(y, x);
  CHECK(numbers(x) == b);
  CHECK(y[0].requires_grad());
}

TEST_CASE("parameters: lerp by 1 is a copy, by 0 nothing, even with NaN on the other side") {
  std::vector<Tensor> nan{full({3}, NAN)}, fine{ones({3})};
  optim::lerp(nan, fine, 1);
  CHECK(to_vector(nan[0]) == std::vector<double>{1, 1, 1});
  optim::lerp(fine, {full({3}, NAN)}, 0);
  CHECK(to_vector(fine[0]) == std::vector<double>{1, 1, 1});
}

TEST_CASE("parameters: dot, norm and distance are f64 sums and the same for any number of threads") {
  for (DType type : {f64, f32, bf16}) {
    auto x = some_parameters(type), y = others(x, 3, type);
    std::vector<double> a = numbers(x), b = numbers(y);
    double dot = 0, square = 0, apart = 0;
    for (size_t i = 0; i < a.size(); ++i) {
      dot += a[i] * b[i];
      square += a[i] * a[i];
      apart += (a[i] - b[i]) * (a[i] - b[i]);
    }
    CHECK(optim::dot(x, y) == doctest::Approx(dot).epsilon(1e-10));
    CHECK(optim::norm(x) == doctest::Approx(std::sqrt(square)).epsilon(1e-12));
    CHECK(optim::distance(x, y) == doctest::Approx(std::sqrt(apart)).epsilon(type == f64 ? 1e-12 : type == f32 ? 1e-6 : 5e-3));
    int before = num_threads();
    double once = optim::dot(x, y);
    for (int threads : {1, 2, 3, 8}) {
      set_num_threads(threads);
      CHECK(optim::dot(x, y) == once);
    }
    set_num_threads(before);
  }
  CHECK(optim::dot({ones({2}, bf16)}, {full({2}, 0.1, f64)}) == doctest::Approx(0.2).epsilon(1e-15));
  CHECK(optim::dot({}, {}) == 0);
}

TEST_CASE("parameters: flatten and unflatten are inverse; gradients come and go as lists") {
  auto p = some_parameters(f32), q = others(p, 8, f32);
  Tensor row = optim::flatten(p);
  CHECK(row.shape() == Shape{15 + 1 + 24 + 20000 + 1});
  CHECK_FALSE(row.requires_grad());
  optim::unflatten(row, q);
  CHECK(numbers(q) == numbers(p));
  CHECK_THROWS_WITH_AS(optim::unflatten(ones({3}), q), "unflatten: the row is [3], the tensors have 20041 elements", ShapeError);
  optim::set_gradients(p, q);
  CHECK(p[2].grad().same_as(q[2]));
  p[1].zero_grad();
  CHECK(to_vector(optim::gradients(p)[1]) == std::vector<double>{0});
}

TEST_CASE("parameters: sets that do not match are refused before anything is written") {
  std::vector<Tensor> a{ones({2}), ones({3})}, b{ones({2}), ones({4})};
  CHECK_THROWS_WITH_AS(optim::axpy(1, a, b), "axpy: tensors 1 are [3] and [4]", ShapeError);
  CHECK_THROWS_WITH_AS(optim::copy(a, {ones({2})}), "copy: the sets have 2 and 1 tensors", ShapeError);
  CHECK_THROWS_WITH_AS(optim::swap({ones({1})}, {ones({1}, f64)}), "swap: tensors 0 are f32 and f64", DTypeError);
  CHECK(to_vector(b[0]) == std::vector<double>{1, 1});
}

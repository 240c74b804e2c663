// Reductions: values over any dimensions and strides, independence of threads, special values, errors.
#include "ops/reduce.h"

#include <doctest/doctest.h>

#include <cstring>

#include "engine/core/parallel.h"
#include "ops/elementary.h"
#include "ops/pointwise.h"
#include "tests/ops/reference.h"
#include "tests/ops/samples.h"

using namespace plumb;
using namespace plumb::testing;

namespace {

// f over the elements that share a kept index.
template <typename F>
Reference reduced(const Tensor& x, const std::vector<int>& dims, F&& f) {
  Shape kept = x.shape();
  for (int d = 0; d < x.rank(); ++d)
    if (dims.empty() || std::count(dims.begin(), dims.end(), d) || std::count(dims.begin(), dims.end(), d - x.rank())) kept[d] = 1;
  Reference from(x), to(kept);
  std::vector<std::vector<double>> groups(to.values.size());
  for_each_index(x.shape(), [&](const Index& i) {
    Index j = i;
    for (int d = 0; d < x.rank(); ++d)
      if (kept[d] == 1) j[static_cast<size_t>(d)] = 0;
    groups[static_cast<size_t>(&to.at(j) - to.values.data())].push_back(from.at(i));
  });
  for (size_t k = 0; k < groups.size(); ++k) to.values[k] = f(groups[k]);
  return to;
}

double sum_of(const std::vector<double>& v) {
  double s = 0;
  for (double x : v) s += x;
  return s;
}
double variance_of(const std::vector<double>& v, double correction) {
  double m = sum_of(v) / static_cast<double>(v.size()), s = 0;
  for (double x : v) s += (x - m) * (x - m);
  return s / (static_cast<double>(v.size()) - correction);
}
double norm_of(const std::vector<double>& v, double p) {
  double s = 0, most = 0, least = INFINITY;
  for (double x : v) {
    s += p == 0 ? x != 0 : std::pow(std::abs(x), p);
    most = std::max(most, std::abs(x));
    least = std::min(least, std::abs(x));
  }
  return p == INFINITY ? most : p == -INFINITY ? least : p == 0 ? s : std::pow(s, 1 / p);
}
double logsumexp_of(const std::vector<double>& v) {
  double s = 0;
  for (double x : v) s += std::exp(x);
  return std::log(s);
}

struct Geometry {
  Shape shape;
  std::vector<int> dims;
};
// Each way that a reduction takes through memory: long and short runs, narrow and wide columns, several dimensions apart.
std::vector<Geometry> geometries() {
  return {{{}, {}},
          {{7}, {}},
          {{1}, {0}},
          {{150001}, {}},
          {{3, 70001}, {1}},
          {{3, 70001}, {0}},
          {{5003, 3}, {0}},
          {{5003, 3}, {1}},
          {{301, 71}, {0}},
          {{301, 71}, {1}},
          {{2, 5000}, {0}},
          {{6, 5, 4}, {1}},
          {{6, 5, 4}, {0, 2}},
          {{6, 5, 4}, {-3, -2}},
          {{6, 1, 4}, {1}},
          {{30, 33, 2, 2}, {0, 2, 3}},
          {{12, 20, 9, 10}, {0, 2}},
          {{12, 20, 9, 10}, {1, 3}},
          {{4, 3, 90, 70}, {0, 2, 3}},
          {{17, 64, 8}, {1}},
          {{2, 3, 2, 3, 2, 3, 2, 2}, {0, 2, 5, 7}},
          {{9, 4, 40, 2}, {0, 2}}};
}

std::string describe(const Geometry& g) {
  std::string s = to_string(g.shape) + " over";
  for (int d : g.dims) s += " " + std::to_string(d);
  return s;
}

}  // namespace

TEST_CASE("reductions: values over any dimensions and strides") {
  for (const Geometry& g : geometries())
    for (const Tensor& x : layouts(uniform(g.shape, 1))) {
      INFO(describe(g) << ", strides " << to_string(x.strides()));
      CHECK(error(sum(x, g.dims, true), reduced(x, g.dims, sum_of)) < 1e-12);
      CHECK(error(mean(x, g.dims, true), reduced(x, g.dims, [](auto& v) { return sum_of(v) / static_cast<double>(v.size()); })) < 1e-12);
      CHECK(error(amax(x, g.dims, true), reduced(x, g.dims, [](auto& v) { return *std::max_element(v.begin(), v.end()); })) == 0);
      CHECK(error(amin(x, g.dims, true), reduced(x, g.dims, [](auto& v) { return *std::min_element(v.begin(), v.end()); })) == 0);
      CHECK(error(var(x, g.dims, 0, true), reduced(x, g.dims, [](auto& v) { return variance_of(v, 0); })) < 1e-12);
      CHECK(error(logsumexp(x, g.dims, true), reduced(x, g.dims, logsumexp_of)) < 1e-12);
      CHECK(error(norm(x, 2, g.dims, true), reduced(x, g.dims, [](auto& v) { return norm_of(v, 2); })) < 1e-12);
      CHECK(error(count_nonzero(x > 0, g.dims, true),
                  reduced(x, g.dims, [](auto& v) { return std::count_if(v.begin(), v.end(), [](double a) { return a > 0; }); })) == 0);
    }
}

TEST_CASE("reductions: products, other norms, corrections") {
  for (const Geometry& g : {Geometry{{6, 5, 4}, {0, 2}}, Geometry{{5, 30}, {1}}, Geometry{{30, 5}, {0}}, Geometry{{11}, {}}})
    for (const Tensor& x : layouts(uniform(g.shape, 2))) {
      INFO(describe(g));
      CHECK(error(prod(x, g.dims, true), reduced(x, g.dims, [](auto& v) { double p = 1; for (double a : v) p *= a; return p; })) < 1e-12);
      for (double p : {0.5, 1.0, 3.0, 0.0, double(INFINITY), double(-INFINITY), -1.5}) {
        INFO("p = " << p);
        CHECK(error(norm(x, p, g.dims, true), reduced(x, g.dims, [p](auto& v) { return norm_of(v, p); })) < 1e-12);
      }
      CHECK(error(std_dev(x, g.dims, 1, true), reduced(x, g.dims, [](auto& v) { return std::sqrt(variance_of(v, 1)); })) < 1e-12);
      CHECK(error(var(x, g.dims, 2.5, true), reduced(x, g.dims, [](auto& v) { return variance_of(v, 2.5); })) < 1e-12);
    }
}

TEST_CASE("reductions: dimensions disappear unless kept") {
  Tensor x = uniform({2, 3, 4}, 3);
  CHECK(sum(x, {0, -1}).shape() == Shape{3});
  CHECK(sum(x, {0, -1}, true).shape() == Shape{1, 3, 1});
  CHECK(sum(x).shape() == Shape{});
  CHECK(var(x, {1}).shape() == Shape{2, 4});
  CHECK(norm(x, 3, {1}).shape() == Shape{2, 4});
  CHECK(logsumexp(x, {2}).shape() == Shape{2, 3});
  CHECK(max(x, 1).values.shape() == Shape{2, 4});
  CHECK(max(x, 1, true).indices.shape() == Shape{2, 1, 4});
}

TEST_CASE("reductions: the same bits for any number of threads") {
  int before = num_threads();
  auto all = [](const Tensor& x, const std::vector<int>& dims) {
    return std::vector<Tensor>{sum(x, dims),    mean(x, dims),      amax(x, dims),    prod(x, dims),
                               var(x, dims, 0), logsumexp(x, dims), norm(x, 2, dims), norm(x, 3, dims)};
  };
  int compared = 0;
  for (const Geometry& g : geometries())
    for (const Tensor& x : layouts(uniform(g.shape, 4, -2, 2, f32))) {
      set_num_threads(1);
      auto expected = all(x, g.dims);
      for (int threads : {2, 3, 8}) {
        set_num_threads(threads);
        auto got = all(x, g.dims);
        for (size_t k = 0; k < got.size(); ++k, ++compared)
          REQUIRE(std::memcmp(got[k].raw_data(), expected[k].raw_data(), static_cast<size_t>(got[k].numel()) * 4) == 0);
      }
    }
  set_num_threads(before);
  CHECK(compared > 500);
}

TEST_CASE("reductions: f32 sums of a million numbers keep their digits, by rows and by columns") {
  constexpr int64_t n = 1 << 20;
  Tensor x = uniform({n}, 5, 0, 1, f32);
  double exact = sum_of(to_vector<double>(x));
  CHECK(std::abs(sum(x).item() - exact) / exact < 4 * 0x1p-24);
  Tensor columns = expand(unsqueeze(x, 1), {n, 3});
  for (double v : to_vector(sum(clone(columns), {0}))) CHECK(std::abs(v - exact) / exact < 8 * 0x1p-24);
}

TEST_CASE("reductions: 16-bit types are summed in f32") {
  Tensor x = full({70000}, 2.0, f16);  // the sum overflows f16, the mean does not
  CHECK(std::isinf(sum(x).item()));
  CHECK(mean(x).item() == 2);
  CHECK(norm(full({10000}, 300.0, f16)).item() == 30000);
  CHECK(sum(full({4096}, 1.0, bf16)).item() == 4096);
  CHECK(mean(x).dtype() == f16);
  CHECK(var(to(tensor({1.0, 2.0, 3.0, 4.0}), bf16), {}, 0).item() == 1.25);
}

TEST_CASE("norm: of a negative power, an element that is 0 takes the others' gradients away") {
  Tensor x = tensor({2.0, 0.0, 3.0}, f64).requires_grad_();
  Tensor y = norm(x, -1);
  CHECK(y.item() == 0);
  CHECK(to_vector(grad({y}, {x})[0]) == std::vector<double>{0, 0, 0});
}

TEST_CASE("reductions: integers and bools") {
  Tensor i = tensor({{3, -1}, {2, 5}}, i32);
  CHECK(sum(i).dtype() == i64);
  CHECK(sum(i).item<int64_t>() == 9);
  CHECK(sum(full({3}, int64_t{1} << 40, i64)).item<int64_t>() == int64_t{3} << 40);
  CHECK(sum(full({1000}, 255, u8)).item<int64_t>() == 255000);
  CHECK(sum(tensor({true, false, true})).item<int64_t>() == 2);
  CHECK(prod(i).item<int64_t>() == -30);
  CHECK(prod(i).dtype() == i64);
  CHECK(amax(i, {1}).dtype() == i32);
  CHECK(to_vector<int64_t>(amax(i, {1})) == std::vector<int64_t>{3, 5});
  CHECK(min(to(i, i64)).item<int64_t>() == -1);
  CHECK(max(tensor({false, true}), 0).values.dtype() == boolean);
  CHECK(mean(i).item() == 2.25);
  CHECK(mean(i).dtype() == f32);
  CHECK(to_vector<bool>(any(i == 5, {1})) == std::vector<bool>{false, true});
  CHECK(to_vector<bool>(all(i > 0, {0})) == std::vector<bool>{true, false});
  CHECK(any(tensor({0.0, -0.0})).item<bool>() == false);
  CHECK(all(tensor({0.5, NAN})).item<bool>() == true);
  CHECK(count_nonzero(tensor({0.0, 2.0, NAN})).item<int64_t>() == 2);
}

TEST_CASE("reductions: NaN and infinities") {
  for (const Shape& shape : {Shape{100, 3}, Shape{3, 100}, Shape{300}}) {
    Tensor x = reshape(uniform({300}, 6, -1, 1, f32), shape);
    Tensor hole = select(reshape(x, {300}), 0, 117);
    fill_(hole, NAN);
    CHECK(std::isnan(max(x).item()));
    CHECK(std::isnan(min(x).item()));
    CHECK(std::isnan(sum(x).item()));
    CHECK(count_nonzero(isnan(amax(x, {0}))).item<int64_t>() == 1);
    CHECK(argmax(x).item<int64_t>() == 117);
    CHECK(argmin(x).item<int64_t>() == 117);
  }
  Tensor rows = tensor({{-INFINITY, -INFINITY}, {-INFINITY, 1.0}, {INFINITY, 1.0}, {1000.0, 1000.0}}, f64);
  std::vector<double> y = to_vector(logsumexp(rows, {1}));
  CHECK(y[0] == -INFINITY);
  CHECK(y[1] == 1);
  CHECK(y[2] == INFINITY);
  CHECK(y[3] == doctest::Approx(1000 + std::log(2)).epsilon(1e-14));
  Tensor x = clone(rows).requires_grad_();
  sum(logsumexp(x, {1})).backward();
  CHECK(test::difference(x.grad(), tensor({{0.0, 0.0}, {0.0, 1.0}, {1.0, 0.0}, {0.5, 0.5}}, f64)) <
        1000 * 0x1p-53);  // the rounding of y near 1000
}

TEST_CASE("logsumexp: gradients of rows with infinities, to second order, over any dimensions") {
  const double inf = INFINITY;
  for (DType t : {f64, f32, bf16, f16}) {
    Tensor x = tensor({{inf, -inf, inf}, {-inf, -inf, -inf}, {-inf, 2.0, -inf}, {inf, 5.0, NAN}, {0.0, 0.0, -inf}}, t).requires_grad_();
    Tensor y = logsumexp(x, {1});
    std::vector<double> v = to_vector(y);
    CHECK(v[0] == inf);
    CHECK(v[1] == -inf);
    CHECK(v[2] == 2);
    CHECK(std::isnan(v[3]));
    Tensor dy = tensor({1.0, 2.0, 3.0, 4.0, 4.0}, t).requires_grad_();
    Tensor dx = grad({y}, {x}, {.create_graph = true}, {dy})[0];
    std::vector<double> g = to_vector(dx), expected{0.5, 0, 0.5, 0, 0, 0, 0, 3, 0, NAN, NAN, NAN, 2, 2, 0};
    for (size_t i = 0; i < 9; ++i) CHECK(g[i] == expected[i]);
    for (size_t i = 9; i < 12; ++i) CHECK(std::isnan(g[i]));
    for (size_t i = 12; i < 15; ++i) CHECK(g[i] == doctest::Approx(expected[i]).epsilon(0.01));
    // Σ_j p_j = 1 whatever x is: its derivative is 0 where the row is defined. d(dx)/d(dy) = p.
    auto second = grad({dx}, {x, dy}, {}, {ones({5, 3}, t)});
    g = to_vector(second[0]);
    for (size_t i = 0; i < 15; ++i)
      if (i / 3 != 3) CHECK(std::abs(g[i]) < 0.05);
    g = to_vector(second[1]);
    CHECK(g[0] == 1);
    CHECK(g[1] == 0);
    CHECK(g[2] == 1);
  }
  Tensor x = tensor({{inf, 1.0}, {2.0, inf}}, f64).requires_grad_();
  sum(logsumexp(x)).backward();
  CHECK(to_vector(x.grad()) == std::vector<double>{0.5, 0, 0, 0.5});
  x.zero_grad();
  sum(logsumexp(x, {0}, true)).backward();
  CHECK(to_vector(x.grad()) == std::vector<double>{1, 0, 0, 1});
}

TEST_CASE("variance: stable far from zero") {
  Tensor x = uniform({1000}, 7, -1, 1) + 1e6;
  CHECK(var(x).item() == doctest::Approx(variance_of(to_vector(x), 1)).epsilon(1e-9));
  Tensor single = to(x, f32);  // spacing 1/16 here: compare with the variance of the rounded numbers
  CHECK(var(single).item() == doctest::Approx(variance_of(to_vector(single), 1)).epsilon(1e-2));
  CHECK(std::isnan(var(tensor({1.0})).item()));
  CHECK(var(tensor({1.0}), {}, 0).item() == 0);
}

TEST_CASE("norm: neither overflow nor a NaN gradient at zero") {
  CHECK(norm(from_vector(std::vector<double>{INFINITY, 1}), 3).item() == INFINITY);
  CHECK(norm(from_vector(std::vector<double>{-INFINITY, 1}), 0.5).item() == INFINITY);
  CHECK(std::isnan(norm(from_vector(std::vector<double>{INFINITY, NAN}), 3).item()));
  CHECK(norm(full({4}, 1e200, f64), 3).item() == doctest::Approx(1e200 * std::cbrt(4)).epsilon(1e-14));
  for (double p : {2.0, 3.0, 1.5}) {
    Tensor x = zeros({3}, f64).requires_grad_();
    norm(x, p).backward();
    CHECK(to_vector(x.grad()) == std::vector<double>{0, 0, 0});
  }
  Tensor x = full({3}, 2.0, f64).requires_grad_();
  std_dev(x).backward();
  CHECK(to_vector(x.grad()) == std::vector<double>{0, 0, 0});
}

TEST_CASE("reductions: of nothing") {
  Tensor none = zeros({0, 3}), rows = zeros({3, 0});
  CHECK(to_vector(sum(none, {0})) == std::vector<double>{0, 0, 0});
  CHECK(sum(none, {1}).shape() == Shape{0});
  CHECK(to_vector(prod(rows, {1})) == std::vector<double>{1, 1, 1});
  CHECK(std::isnan(mean(none).item()));
  CHECK(std::isnan(var(none).item()));
  CHECK(norm(none).item() == 0);
  CHECK(norm(none, 3).item() == 0);
  CHECK(logsumexp(none).item() == -INFINITY);
  CHECK(any(none).item<bool>() == false);
  CHECK(all(none).item<bool>() == true);
  CHECK(amax(none, {1}).shape() == Shape{0});
  CHECK_THROWS_WITH_AS(amax(none, {0}), "amax: there is nothing to choose from in [0, 3]", ValueError);
  CHECK_THROWS_WITH_AS(max(rows, 1), "max: there is nothing to choose from along dimension 1 of [3, 0]", ValueError);
  Tensor x = zeros({0, 3}).requires_grad_();
  sum(prod(x, {0})).backward();
  CHECK(x.grad().shape() == Shape{0, 3});
}

TEST_CASE("max and argmax: the first of equal ones, along any dimension, for every type") {
  for (const Shape& shape : {Shape{4, 70, 5}, Shape{70}, Shape{3, 200}, Shape{200, 130}})
    for (int dim = 0; dim < shape.rank(); ++dim)
      for (DType t : {f64, f32, bf16, f16, i64, i32, u8})
        for (const Tensor& x : layouts(to(integers(shape, 9, 8), t))) {
          Reference from(x);
          for (bool largest : {true, false}) {
            auto [values, indices] = largest ? max(x, dim, true) : min(x, dim, true);
            CHECK(values.dtype() == t);
            Reference best(values), at(indices);
            bool right = true;
            for_each_index(values.shape(), [&](const Index& i) {
              int64_t first = 0;
              for (int64_t k = 0; k < shape[dim]; ++k) {
                Index j = i, f = i;
                j[static_cast<size_t>(dim)] = k;
                f[static_cast<size_t>(dim)] = first;
                if (largest ? from.at(j) > from.at(f) : from.at(j) < from.at(f)) first = k;
              }
              Index f = i;
              f[static_cast<size_t>(dim)] = first;
              right = right && at.at(i) == static_cast<double>(first) && best.at(i) == from.at(f);
            });
            CHECK_MESSAGE(right, to_string(shape) << " along " << dim << " in " << name(t));
          }
        }
  CHECK(argmax(tensor({{1, 7}, {7, 0}})).item<int64_t>() == 1);
  CHECK(argmin(tensor({{1, 7}, {7, 0}})).item<int64_t>() == 3);
  CHECK(argmax(scalar_tensor(3.0, f32), 0).item<int64_t>() == 0);
  CHECK(argmax(tensor({-INFINITY, -INFINITY}), 0).item<int64_t>() == 0);
}

TEST_CASE("max: who gets the gradient of equal elements") {
  Tensor x = tensor({2.0, 3.0, 3.0}, f64).requires_grad_();
  max(x, 0).values.backward();
  CHECK(to_vector(x.grad()) == std::vector<double>{0, 1, 0});
  x.zero_grad();
  amax(x).backward();
  CHECK(to_vector(x.grad()) == std::vector<double>{0, 0.5, 0.5});
  Tensor three = tensor({5.0, 5.0, 5.0}, f64).requires_grad_();
  amin(three).backward();
  CHECK(to_vector(three.grad()) == std::vector<double>(3, 1.0 / 3));  // in f64, not in f32 and then widened
}

TEST_CASE("reductions: bad dimensions") {
  Tensor x = zeros({2, 3});
  CHECK_THROWS_AS(sum(x, {2}), IndexError);
  CHECK_THROWS_WITH_AS(sum(x, {1, -1}), "sum: dimension 1 is given twice", IndexError);
  CHECK_THROWS_WITH_AS(var(x, {0, 0}), "var: dimension 0 is given twice", IndexError);
  CHECK_THROWS_AS(argmax(x, -3), IndexError);
  CHECK_THROWS_WITH_AS(norm(x, NAN), "norm: p is NaN", ValueError);
}

// Elementary functions against the C library in double, element by element, in every type and for any strides; special values; zero slopes.
#include "ops/elementary.h"

#include <doctest/doctest.h>

#include <string>

#include "engine/autograd/backward.h"
#include "engine/core/parallel.h"
#include "tests/ops/reference.h"
#include "tests/ops/samples.h"

using namespace plumb;
using namespace plumb::testing;

namespace {

// ψ⁽ⁿ⁾(x) for x > 0 by its series Σ_k (−1)^(n+1) n! / (x + k)^(n+1) (for n = 0: Σ_k 1/(k + 1) − 1/(x + k), less Euler's constant), the tail
// beyond N by Euler and Maclaurin: integral + half the first term + a twelfth of the slope.
double polygamma_series(int n, double x) {
  constexpr int kTerms = 4000;
  double total = 0, factorial = 1, end = x + kTerms, order = n + 1;
  for (int i = 2; i <= n; ++i) factorial *= i;
  if (n == 0) {
    for (int k = kTerms - 1; k >= 0; --k) total += 1.0 / (k + 1) - 1 / (x + k);
    double last = kTerms + 1;
    return total - 0.57721566490153286061 + std::log(end / last) + 0.5 * (1 / last - 1 / end) + (1 / (last * last) - 1 / (end * end)) / 12;
  }
  for (int k = kTerms - 1; k >= 0; --k) total += std::pow(x + k, -order);
  total += std::pow(end, -n) / n + 0.5 * std::pow(end, -order) + order / 12 * std::pow(end, -order - 1);
  return (n % 2 ? 1 : -1) * factorial * total;
}

// The y with erf y = v, by bisection; for large v of erfc, which keeps the digits that 1 − erf loses.
double erfinv_bisected(double v) {
  if (v < 0) return -erfinv_bisected(-v);
  double low = 0, high = 6;
  for (int i = 0; i < 200; ++i) {
    double y = 0.5 * (low + high);
    bool below = v > 0.5 ? std::erfc(y) > 1 - v : std::erf(y) < v;
    (below ? low : high) = y;
  }
  return 0.5 * (low + high);
}

double half_to_even(double v) {
  double low = std::floor(v), part = v - low;
  return part < 0.5 || (part == 0.5 && std::fmod(low, 2) == 0) ? low : low + 1;
}

struct Function {
  std::string name;
  Tensor (*function)(const Tensor& x);
  double (*reference)(double x);
  double low, high;
  double ulps = 4;  // of the result's type; where the argument is ill-conditioned, more
};

const Function kFunctions[] = {
    {"abs", abs, [](double x) { return x < 0 ? -x : x; }, -3, 3, 0},
    {"sign", sign, [](double x) { return x < 0 ? -1.0 : x > 0 ? 1.0 : 0.0; }, -3, 3, 0},
    {"square", square, [](double x) { return x * x; }, -3, 3},
    {"sqrt", sqrt, [](double x) { return std::sqrt(x); }, 0, 9},
    {"rsqrt", rsqrt, [](double x) { return 1 / std::sqrt(x); }, 0.01, 9},
    {"reciprocal", reciprocal, [](double x) { return 1 / x; }, 0.01, 9},
    {"exp", exp, [](double x) { return std::exp(x); }, -9, 9},
    {"exp2", exp2, [](double x) { return std::exp2(x); }, -9, 9},
    {"expm1", expm1, [](double x) { return std::expm1(x); }, -4, 4},
    {"log", log, [](double x) { return std::log(x); }, 0.01, 9},
    {"log2", log2, [](double x) { return std::log2(x); }, 0.01, 9},
    {"log10", log10, [](double x) { return std::log10(x); }, 0.01, 9},
    {"log1p", log1p, [](double x) { return std::log1p(x); }, -0.9, 4},
    {"sin", sin, [](double x) { return std::sin(x); }, -30, 30},
    {"cos", cos, [](double x) { return std::cos(x); }, -30, 30},
    {"tan", tan, [](double x) { return std::sin(x) / std::cos(x); }, -1.5, 1.5, 8},
    {"asin", asin, [](double x) { return std::asin(x); }, -1, 1},
    {"acos", acos, [](double x) { return std::acos(x); }, -1, 1},
    {"atan", atan, [](double x) { return std::atan(x); }, -9, 9},
    {"sinh", sinh, [](double x) { return std::sinh(x); }, -4, 4},
    {"cosh", cosh, [](double x) { return std::cosh(x); }, -4, 4},
    {"tanh", tanh, [](double x) { return std::tanh(x); }, -4, 4},
    {"asinh", asinh, [](double x) { return std::asinh(x); }, -9, 9},
    {"acosh", acosh, [](double x) { return std::acosh(x); }, 1, 9},
    {"atanh", atanh, [](double x) { return std::atanh(x); }, -0.9, 0.9},
    {"erf", erf, [](double x) { return std::erf(x); }, -3, 3},
    {"erfc", erfc, [](double x) { return std::erfc(x); }, -3, 5, 16},
    {"erfinv", erfinv, erfinv_bisected, -0.99, 0.99, 16},
    {"lgamma", lgamma, [](double x) { return std::log(std::tgamma(x)); }, 0.1, 20, 16},
    {"digamma", digamma, [](double x) { return polygamma_series(0, x); }, 0.1, 20, 16},
    {"polygamma 1", [](const Tensor& x) { return polygamma(1, x); }, [](double x) { return polygamma_series(1, x); }, 0.2, 20, 64},
    {"polygamma 3", [](const Tensor& x) { return polygamma(3, x); }, [](double x) { return polygamma_series(3, x); }, 0.2, 20, 64},
    {"sigmoid", sigmoid, [](double x) { return 1 / (1 + std::exp(-x)); }, -9, 9},
    {"floor", floor, [](double x) { return std::floor(x); }, -5, 5, 0},
    {"ceil", ceil, [](double x) { return -std::floor(-x); }, -5, 5, 0},
    {"round", round, half_to_even, -5, 5, 0},
    {"trunc", trunc, [](double x) { return x < 0 ? -std::floor(-x) : std::floor(x); }, -5, 5, 0},
    {"nan_to_zero", nan_to_zero, [](double x) { return x; }, -5, 5, 0},
};

double epsilon(DType t) { return t == f64 ? 0x1p-52 : t == f32 ? 0x1p-23 : t == bf16 ? 0x1p-7 : 0x1p-10; }

// The largest error in units of ε max(|y|, the least number that counts).
double worst_ulps(const Function& f, const Tensor& x, const Tensor& y) {
  std::vector<double> from = to_vector(x), got = to_vector(y);
  double worst = 0;
  for (size_t i = 0; i < from.size(); ++i) {
    double exact = f.reference(from[i]),
           size = std::max(std::abs(exact), x.dtype() == f64 ? 0.1 : 1e-4);  // near zeros, absolutely: log Γ has two
    double error = std::abs(got[i] - exact) / (epsilon(x.dtype()) * size);
    worst = error <= worst ? worst : std::isnan(error) ? INFINITY : error;
  }
  return worst;
}

}  // namespace

TEST_CASE("elementary functions: values in every type, for any strides") {
  for (const Function& f : kFunctions)
    for (DType t : {f64, f32, bf16, f16})
      for (const Tensor& x : layouts(uniform({7, 60}, 3, f.low, f.high, t))) {
        Tensor y = f.function(x);
        CHECK(y.dtype() == t);
        double error = worst_ulps(f, x, y), allowed = t == f64 && f.ulps > 0 ? std::max(f.ulps, 16.0) : f.ulps;
        CHECK_MESSAGE(error <= allowed, f.name << " in " << name(t) << " is off by " << error << " ulp");
      }
}

TEST_CASE("elementary functions: integers count as f32, nothing gives nothing, a number stays one") {
  for (const Function& f : kFunctions) {
    INFO(f.name);
    CHECK(f.function(zeros({0, 3})).shape() == Shape{0, 3});
    CHECK(f.function(full({}, f.high, f64)).item() == doctest::Approx(f.reference(f.high)).epsilon(1e-12));
  }
  CHECK(exp(tensor({1, 2})).dtype() == f32);
  CHECK(to_vector(sqrt(tensor({4, 9}))) == std::vector<double>{2, 3});
  CHECK(abs(tensor({-3, 2})).dtype() == i64);
  CHECK(to_vector<int64_t>(sign(tensor({-3, 0, 2}))) == std::vector<int64_t>{-1, 0, 1});
  CHECK(to_vector<int64_t>(square(tensor({-3, 5}))) == std::vector<int64_t>{9, 25});
  CHECK(floor(tensor({-3, 2})).dtype() == i64);
  CHECK_THROWS_WITH_AS(polygamma(-1, ones({1})), "polygamma: n must not be negative, it is -1", ValueError);
}

TEST_CASE("elementary functions: NaN stays, infinities and edges of domains") {
  for (DType t : {f64, f32, bf16, f16}) {
    Tensor nan = full({3}, NAN, t);
    for (const Function& f : kFunctions)
      if (f.name != "nan_to_zero" && f.name != "sign")
        for (double v : to_vector(f.function(nan))) CHECK_MESSAGE(std::isnan(v), f.name);
    auto at = [t](Tensor (*f)(const Tensor&), double v) { return f(full({}, v, t)).item(); };
    CHECK(at(nan_to_zero, NAN) == 0);
    CHECK(at(exp, INFINITY) == INFINITY);
    CHECK(at(exp, -INFINITY) == 0);
    CHECK(at(log, 0) == -INFINITY);
    CHECK(std::isnan(at(log, -1)));
    CHECK(std::isnan(at(sqrt, -1)));
    CHECK(at(rsqrt, 0) == INFINITY);
    CHECK(at(reciprocal, 0) == INFINITY);
    CHECK(at(tanh, INFINITY) == 1);
    CHECK(at(sigmoid, -INFINITY) == 0);
    CHECK(at(erfinv, 1) == INFINITY);
    CHECK(at(erfinv, -1) == -INFINITY);
    CHECK(std::isnan(at(erfinv, 1.5)));
    CHECK(at(lgamma, 0) == INFINITY);
    CHECK(std::isnan(at(digamma, -2)));
    CHECK(std::isnan(at(acosh, 0.5)));
    CHECK(at(atanh, 1) == INFINITY);
  }
  // Γ(½) = √π, and reflection: ψ(1 − x) − ψ(x) = π cot πx.
  CHECK(lgamma(full({}, 0.5, f64)).item() == doctest::Approx(0.5 * std::log(M_PI)).epsilon(1e-14));
  CHECK((digamma(full({}, -0.3, f64)).item() - digamma(full({}, 1.3, f64)).item()) ==
        doctest::Approx(M_PI / std::tan(M_PI * 1.3)).epsilon(1e-12));
}

TEST_CASE("elementary functions: piecewise constant ones have the gradient 0") {
  for (Tensor (*f)(const Tensor&) :
       {+[](const Tensor& x) { return sign(x); }, +[](const Tensor& x) { return floor(x); }, +[](const Tensor& x) { return ceil(x); },
        +[](const Tensor& x) { return round(x); }, +[](const Tensor& x) { return trunc(x); }}) {
    Tensor x = tensor({-1.3, 0.2, 2.6}, f64).requires_grad_();
    sum(f(x)).backward();
    CHECK(to_vector(x.grad()) == std::vector<double>{0, 0, 0});
    x.zero_grad();
    sum(x - f(x)).backward();
    CHECK(to_vector(x.grad()) == std::vector<double>{1, 1, 1});
  }
}

TEST_CASE("elementary functions: the same bits for any number of threads") {
  int before = num_threads();
  Tensor x = uniform({3, 33001}, 5, 0.1, 0.9, f32), y = transpose(x, 0, 1);
  for (const Function& f : kFunctions) {
    set_num_threads(1);
    Tensor dense = f.function(x), strided = f.function(y);
    set_num_threads(3);
    CHECK_MESSAGE(test::same_bits(f.function(x), dense), f.name);
    CHECK_MESSAGE(test::same_bits(f.function(y), strided), f.name);
  }
  set_num_threads(before);
}

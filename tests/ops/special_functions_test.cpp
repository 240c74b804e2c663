// The float polynomials against the C library in double, over a sample of all floats that every run takes alike.
#include "ops/special_functions.h"

#include <doctest/doctest.h>

#include <initializer_list>

namespace special = plumb::special;

namespace {

double ulp(double reference) {
  int exponent;
  std::frexp(reference, &exponent);
  return std::max(std::ldexp(1.0, exponent - 24), 0x1p-149);
}

// The largest |f(x) − reference(x)| in ulps over every 1009th float of [low, high]; infinite where only one overflows or is NaN.
template <typename F, typename R>
double worst_ulps(F f, R reference, float low, float high) {
  double worst = 0;
  for (uint64_t bits = 0; bits <= 0xffffffffu; bits += 1009) {
    float x = std::bit_cast<float>(static_cast<uint32_t>(bits));
    if (!(x >= low && x <= high)) continue;
    double exact = reference(static_cast<double>(x));
    float y = f(x);
    if (y == static_cast<float>(exact)) continue;
    double error = std::abs(static_cast<double>(y) - exact) / ulp(exact);
    worst = error > worst || std::isnan(error) ? (std::isfinite(error) ? error : INFINITY) : worst;
  }
  return worst;
}

constexpr float kInf = std::numeric_limits<float>::infinity(), kNan = std::numeric_limits<float>::quiet_NaN();

}  // namespace

// The bounds are those of the docstrings.
TEST_CASE("special: exp, log, log1p, tanh, erf, sigmoid are within their stated error over the floats") {
  CHECK(worst_ulps([](float x) { return special::exp(x); }, [](double x) { return std::exp(x); }, -kInf, kInf) <= 1.03);
  CHECK(worst_ulps([](float x) { return special::log(x); }, [](double x) { return std::log(x); }, 0, kInf) <= 0.84);
  CHECK(worst_ulps([](float x) { return special::log1p(x); }, [](double x) { return std::log1p(x); }, -1, kInf) <= 1.5);
  CHECK(worst_ulps([](float x) { return special::tanh(x); }, [](double x) { return std::tanh(x); }, -kInf, kInf) <= 1.33);
  CHECK(worst_ulps([](float x) { return special::erf(x); }, [](double x) { return std::erf(x); }, -kInf, kInf) <= 1.15);
  CHECK(worst_ulps([](float x) { return special::sigmoid(x); }, [](double x) { return special::sigmoid(x); }, -kInf, kInf) <= 2.5);
}

TEST_CASE("special: sin and cos are within 1.6 ulp up to a million") {
  CHECK(worst_ulps([](float x) { return special::sin(x); }, [](double x) { return std::sin(x); }, -1e6f, 1e6f) <= 1.6);
  CHECK(worst_ulps([](float x) { return special::cos(x); }, [](double x) { return std::cos(x); }, -1e6f, 1e6f) <= 1.6);
}

TEST_CASE("special: the normal distribution function keeps small values") {
  float bell;
  for (float x : {-6.0f, -4.5f, -3.0f, -1.0f, -0.1f, 0.0f, 0.1f, 1.0f, 3.0f, 6.0f, 40.0f}) {
    double exact = 0.5 * std::erfc(-static_cast<double>(x) / std::sqrt(2.0));
    CHECK(std::abs(static_cast<double>(special::normal_cdf(x, bell)) - exact) <= 2e-6 * exact);
    CHECK(static_cast<double>(bell) == doctest::Approx(std::exp(-0.5 * x * x)).epsilon(1e-5));
  }
  CHECK(special::normal_cdf(-40.0f, bell) == 0);
}

TEST_CASE("special: infinities, NaN, zeros and subnormal numbers") {
  CHECK(special::exp(kInf) == kInf);
  CHECK(special::exp(-kInf) == 0);
  CHECK(special::exp(-103.0f) == std::exp(-103.0f));  // subnormal
  CHECK(special::log(0.0f) == -kInf);
  CHECK(special::log(-0.0f) == -kInf);
  CHECK(special::log(kInf) == kInf);
  CHECK(std::isnan(special::log(-1.0f)));
  CHECK(special::log(0x1p-149f) == std::log(0x1p-149f));
  CHECK(special::log1p(-1.0f) == -kInf);
  CHECK(std::isnan(special::log1p(-1.5f)));
  CHECK(special::log1p(kInf) == kInf);
  CHECK(special::tanh(kInf) == 1);
  CHECK(special::tanh(-kInf) == -1);
  CHECK(std::signbit(special::tanh(-0.0f)));
  CHECK(special::erf(kInf) == 1);
  CHECK(special::erf(-kInf) == -1);
  CHECK(std::signbit(special::erf(-0.0f)));
  CHECK(special::sigmoid(-kInf) == 0);
  CHECK(special::sigmoid(kInf) == 1);
  float bell;
  for (float y : {special::exp(kNan), special::log(kNan), special::log1p(kNan), special::tanh(kNan), special::erf(kNan),
                  special::sigmoid(kNan), special::sin(kNan), special::cos(kNan), special::normal_cdf(kNan, bell)})
    CHECK(std::isnan(y));
}

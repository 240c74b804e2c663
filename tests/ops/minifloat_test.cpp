// Rounding to small floating-point formats: every number of each format, everything between two of them, what lies beyond, derivatives.
#include "ops/minifloat.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "engine/autograd/backward.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "tests/ops/samples.h"

using namespace plumb;

namespace {

struct Named {
  const char* name;
  MinifloatFormat format;
  double largest, smallest;  // as the specifications list them
  int count;                 // numbers ≥ 0
};
const Named kFormats[] = {{"e4m3", kE4M3, 448, 0x1p-9, 127},      {"e5m2", kE5M2, 57344, 0x1p-16, 124}, {"e3m2", kE3M2, 28, 0x1p-4, 32},
                          {"e2m3", kE2M3, 7.5, 0x1p-3, 32},       {"e2m1", kE2M1, 6, 0.5, 8},
                          {"half", {5, 10, MinifloatSpecials::ieee}, 65504, 0x1p-24, 31744}};

// The numbers ≥ 0 in order, from their bits.
std::vector<double> numbers(const MinifloatFormat& f) {
  std::vector<double> all;
  int exponents = 1 << f.exponent_bits, mantissas = 1 << f.mantissa_bits;
  for (int e = 0; e < exponents; ++e)
    for (int m = 0; m < mantissas; ++m) {
      if (e == exponents - 1 && f.specials == MinifloatSpecials::ieee) continue;
      if (e == exponents - 1 && m == mantissas - 1 && f.specials == MinifloatSpecials::nan) continue;
      double fraction = m / double(mantissas);
      all.push_back(e == 0 ? std::pow(2.0, 1 - f.bias()) * fraction : std::pow(2.0, e - f.bias()) * (1 + fraction));
    }
  return all;
}

double rounded(double x, const MinifloatFormat& f, bool saturate = true) {
  return round_to_minifloat(scalar_tensor(x, f64), f, saturate).item();
}

}  // namespace

TEST_CASE("minifloat: formats hold the numbers that their specifications list") {
  for (const Named& n : kFormats) {
    INFO(n.name);
    std::vector<double> all = numbers(n.format);
    CHECK(static_cast<int>(all.size()) == n.count);
    CHECK(all.back() == n.largest);
    CHECK(n.format.largest() == n.largest);
    CHECK(n.format.smallest() == n.smallest);
    CHECK(all[1] == n.smallest);
    CHECK(n.format.smallest_normal() == all[size_t{1} << n.format.mantissa_bits]);
    CHECK(std::is_sorted(all.begin(), all.end()));
  }
}

TEST_CASE("minifloat: numbers stay, what lies between goes to the nearer, halves to the even one") {
  for (const Named& n : kFormats) {
    INFO(n.name);
    std::vector<double> all = numbers(n.format), x, expected;
    for (size_t i = 0; i + 1 < all.size(); i += all.size() > 1000 ? 37 : 1) {
      double a = all[i], b = all[i + 1], middle = (a + b) / 2;
      for (double v : {a, a + (b - a) * 0.3, std::nextafter(middle, a), middle, std::nextafter(middle, b), b}) {
        x.push_back(v);
        expected.push_back(v < middle ? a : v > middle ? b : i % 2 ? b : a);
      }
    }
    Tensor y = round_to_minifloat(from_vector(x), n.format);
    CHECK(to_vector(y) == expected);
    CHECK(to_vector(round_to_minifloat(-from_vector(x), n.format)) == to_vector(-from_vector(expected)));
  }
}

TEST_CASE("minifloat: what lies beyond the largest number") {
  CHECK(rounded(463.9, kE4M3) == 448);
  CHECK(rounded(464, kE4M3) == 448);  // half a step beyond, and 448 is even
  CHECK(rounded(464, kE4M3, false) == 448);
  CHECK(std::isnan(rounded(464.1, kE4M3, false)));
  CHECK(rounded(-1e30, kE4M3) == -448);
  CHECK(rounded(1.7e308, kE2M1) == 6);
  CHECK(rounded(INFINITY, kE4M3) == 448);
  CHECK(std::isnan(rounded(-INFINITY, kE4M3, false)));
  CHECK(rounded(61439, kE5M2, false) == 57344);
  CHECK(rounded(61440, kE5M2, false) == INFINITY);  // 57344 is odd: the tie goes up
  CHECK(rounded(-61440, kE5M2, false) == -INFINITY);
  CHECK(rounded(1e9, kE2M1) == 6);
  CHECK(std::isnan(rounded(NAN, kE4M3)));
  CHECK(std::isnan(rounded(NAN, kE2M1)));
  CHECK(rounded(0x1p-11, kE4M3) == 0);
  CHECK(std::signbit(rounded(-0x1p-11, kE4M3)));
  CHECK(rounded(5e-324, kE5M2) == 0);
}

TEST_CASE("minifloat: all types agree where they hold the numbers, for any strides and none") {
  Tensor x = test::sample({40, 30}, 1, f16, -600, 600);
  for (const Named& n : kFormats) {
    Tensor expected = round_to_minifloat(to(x, f64), n.format);
    for (DType t : {f32, f16}) {
      Tensor y = round_to_minifloat(test::strided(to(x, t)), n.format);
      CHECK(y.dtype() == t);
      CHECK(test::same_bits(to(y, f64), expected));
    }
  }
  Tensor b = test::sample({100}, 2, bf16, -9, 9);
  CHECK(test::same_bits(to(round_to_minifloat(b, kE2M3), f64), round_to_minifloat(to(b, f64), kE2M3)));
  CHECK(round_to_minifloat(zeros({0, 3})).shape() == Shape{0, 3});
}

TEST_CASE("minifloat: gradients pass where nothing was cut off, and end there") {
  Tensor x = tensor({0.01, -3.3, 448.0, 464.0, 464.5, -1000.0, double(NAN)}, f64).requires_grad_();
  Tensor dy = tensor({1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0}, f64);
  Tensor dx = grad({round_to_minifloat(x)}, {x}, {.create_graph = true}, {dy})[0];
  CHECK(to_vector(dx) == std::vector<double>{1, 2, 3, 4, 0, 0, 0});
  CHECK_FALSE(dx.requires_grad());
  Tensor z = tensor({61439.0, 61440.0}, f64).requires_grad_();
  sum(round_to_minifloat(z, kE5M2)).backward();
  CHECK(to_vector(z.grad()) == std::vector<double>{1, 0});
}

TEST_CASE("minifloat: what cannot be is named") {
  Tensor x = ones({2});
  CHECK_THROWS_WITH_AS(round_to_minifloat(x, {1, 3}), "round_to_minifloat: exponent_bits must lie between 2 and 8, it is 1", ValueError);
  CHECK_THROWS_WITH_AS(round_to_minifloat(x, {4, 11}), "round_to_minifloat: mantissa_bits must lie between 1 and 10, it is 11", ValueError);
  CHECK_THROWS_WITH_AS(round_to_minifloat(x, {4, 0, MinifloatSpecials::none}),
                       "round_to_minifloat: mantissa_bits must lie between 1 and 10, it is 0", ValueError);
  CHECK_THROWS_WITH_AS(round_to_minifloat(x, kE2M1, false), "round_to_minifloat: a format without infinity and NaN must saturate",
                       ValueError);
  CHECK_THROWS_WITH_AS(round_to_minifloat(ones({2}, i64)), "round_to_minifloat: does not take i64 tensors", DTypeError);
}

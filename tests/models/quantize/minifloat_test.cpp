// Minifloats of any bias: worked values, codes that come back, and RF8 beside them.
#include "models/quantize/minifloat.h"

#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "engine/autograd/backward.h"
#include "models/quantize/rf8.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

using namespace plumb;
using namespace plumb::quantize;

namespace {

std::vector<double> nine_numbers() { return {0.3, -0.05, 0.001, 0x1p-12, 1.9, -7.3, 500, 1e-6, 0.0703125}; }

}  // namespace

TEST_CASE("minifloat: numbers have their worked roundings") {
  struct Row {
    Minifloat format;
    std::vector<double> wanted;
  };
  for (const Row& row : {Row{kFloatE4M3, {0.3125, -0.05078125, 0.001953125, 0, 1.875, -7.5, 448, 0, 0.0703125}},
                         Row{kFloatE5M2, {0.3125, -0.046875, 0.0009765625, 0.000244140625, 2, -7, 512, 0, 0.0625}},
                         Row{kWeightE4M3, {0.3125, -0.05078125, 0.0009765625, 0.000244140625, 1.875, -1.875, 1.875, 0, 0.0703125}}}) {
    CAPTURE(row.format.bias);
    for (DType type : {f64, f32}) {
      Tensor rounded = row.format.fake_quantize(to(from_vector(nine_numbers()), type));
      CHECK(rounded.dtype() == type);
      CHECK(to_vector(rounded) == row.wanted);
      CHECK(to_vector(row.format.fake_quantize(rounded)) == row.wanted);                                  // again: nothing more
      CHECK(to_vector(-row.format.fake_quantize(to(-from_vector(nine_numbers()), type))) == row.wanted);  // odd
    }
  }
  CHECK(kFloatE4M3.largest() == 448);
  CHECK(kFloatE5M2.largest() == 57344);
  CHECK(kWeightE4M3.largest() == 1.875);
  CHECK(kWeightE4M3.smallest() == 0x1p-17);
}

TEST_CASE("minifloat: all codes come back, and stand in the order of their numbers") {
  for (const Minifloat& format : {kFloatE4M3, kFloatE5M2, kWeightE4M3, Minifloat{1, 0, 0, MinifloatSpecials::none},
                                  Minifloat{1, 3, 1, MinifloatSpecials::none}, Minifloat{3, 0, 3, MinifloatSpecials::none}}) {
    CAPTURE(format.exponent_bits);
    CAPTURE(format.mantissa_bits);
    int codes = 1 << format.bits();
    double before = -1;
    for (int code = 0; code < codes; ++code) {
      double x = format.decode(static_cast<uint16_t>(code));
      if (std::isnan(x)) {
        CHECK(std::isnan(format.decode(format.encode(x))));
      } else if (std::isinf(x)) {
        CHECK(std::abs(format.round(x)) == format.largest());
      } else {
        CHECK(format.encode(x) == code);
        if (code < codes / 2) CHECK(x > before);
        before = x;
      }
    }
  }
  Minifloat open = kFloatE5M2;
  open.saturate = false;
  CHECK(std::isinf(open.round(1e6)));
  CHECK(open.decode(open.encode(-1e6)) == -INFINITY);
}

TEST_CASE("minifloat: the gradient passes where nothing was cut off") {
  Tensor x = tensor({0.3, -0.001, 500.0, -449.0}, f64).requires_grad_();
  sum(kFloatE4M3.fake_quantize(x)).backward();
  CHECK(to_vector(x.grad()) == std::vector<double>{1, 1, 0, 0});
}

TEST_CASE("rf8: two signed powers of two have their worked values") {
  Tensor x = from_vector(nine_numbers());
  std::vector<double> wanted{0.3125, -0.046875, 0.0009765625, 0.000244140625, 1.875, -7.5, 512, 1.01327896e-6, 0.0703125},
      got = to_vector(rf8(x));
  for (size_t i = 0; i < wanted.size(); ++i) CHECK(got[i] == doctest::Approx(wanted[i]).epsilon(1e-15 + (i == 7 ? 1e-14 : 0)));
  CHECK(got[7] * 1e6 == doctest::Approx(1.01327896).epsilon(5e-9));
  CHECK(to_vector(rf8(tensor({1.37, 0.7, 0.0}, f64))) == std::vector<double>{1.5, 0.75, 0});
  CHECK(to_vector(rf8(rf8(x))) == got);
  CHECK(to_vector(rf8(-x)) == to_vector(-rf8(x)));
  CHECK(to_vector(rf8(x * 2.0)) == to_vector(rf8(x) * 2.0));
  CHECK(to_vector(rf8(tensor({0.3, -7.3, 1.9}, f64), 0)) == std::vector<double>{0.25, -8, 2});
}

TEST_CASE("minifloat: bad input is told by its values") {
  CHECK_THROWS_WITH_AS((Minifloat{0, 3}.round(1)), "minifloat: exponent bits must be in [1, 8], there are 0", ValueError);
  CHECK_THROWS_WITH_AS((Minifloat{4, -1}.round(1)), "minifloat: mantissa bits must be in [0, 7], there are -1", ValueError);
  CHECK_THROWS_WITH_AS((Minifloat{4, 3, 9999}.largest()), "minifloat: the bias must be in [-500, 500], it is 9999", ValueError);
  CHECK_THROWS_WITH_AS(kFloatE4M3.decode(256), "minifloat: 256 has more than 8 bits", ValueError);
  CHECK_THROWS_WITH_AS(kWeightE4M3.encode(NAN), "minifloat: the format has no code for NaN", ValueError);
  Minifloat open = kFloatE4M3;
  open.saturate = false;
  CHECK_THROWS_WITH_AS(open.round(500), "minifloat: 500 is too large for a format without infinity", ValueError);
}

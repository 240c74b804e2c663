// Numbers in messages.
#include "engine/core/error.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

using namespace plumb;

TEST_CASE("decimal: the fewest digits that read back as the number, or as the f32 that it is") {
  CHECK(decimal(0.1) == "0.1");
  CHECK(decimal(static_cast<double>(0.1f)) == "0.1");
  CHECK(decimal(1.0 / 3) == "0.3333333333333333");
  CHECK(decimal(2) == "2");
  CHECK(decimal(100000) == "100000");
  CHECK(decimal(-1e-9) == "-1e-09");
  CHECK(decimal(1.0000001) == "1.0000001");
  CHECK(decimal(0) == "0");
  CHECK(decimal(1e300) == "1e+300");
  CHECK(decimal(NAN) == "nan");
  CHECK(decimal(-std::numeric_limits<double>::infinity()) == "-inf");
}

// Dual ascent: the worked sequence, its bounds, and a constrained minimum that it finds.
#include "models/optim/dual_variable.h"

#include <doctest/doctest.h>

#include <cmath>
#include <vector>

using namespace plumb;
using optim::DualVariable;

TEST_CASE("DualVariable: rises while the constraint is broken, falls else, and stays in [0, cap]") {
  DualVariable dual({.start = 0.3, .rate = 2, .margin = 0.05});
  std::vector<double> expected{0.4, 0.36, 0.28, 0.18}, constrained{0.1, 0.03, 0.01, 0};
  for (size_t i = 0; i < 4; ++i) CHECK(dual.update(constrained[i]) == doctest::Approx(expected[i]).epsilon(1e-12));
  for (int i = 0; i < 3; ++i) dual.update(0);
  CHECK(dual.value() == 0);
  DualVariable capped({.start = 1, .rate = 10, .margin = 0, .cap = 4});
  CHECK(capped.update(100) == 4);
  CHECK_THROWS_WITH_AS(dual.update(NAN), "dual: the constrained quantity is NaN", ValueError);
  CHECK_THROWS_WITH_AS(DualVariable({.rate = -1}), "dual: the rate must be finite and not negative, it is -1", ValueError);
  CHECK_THROWS_WITH_AS(DualVariable({.margin = -0.1}), "dual: the margin must be finite and not negative, it is -0.1", ValueError);
  CHECK_THROWS_WITH_AS(DualVariable({.start = 5, .cap = 2}), "dual: the start must lie in [0, cap], it is 5", ValueError);
}

TEST_CASE("DualVariable: minimises x² where (x − 2)² ≤ 1, at x = 1 with λ = 1") {
  DualVariable dual({.start = 0, .rate = 0.05, .margin = 1});
  double x = 0;
  for (int i = 0; i < 4000; ++i) {
    x -= 0.02 * (2 * x + dual.value() * 2 * (x - 2));
    dual.update((x - 2) * (x - 2));
  }
  CHECK(x == doctest::Approx(1).epsilon(1e-4));
  CHECK(dual.value() == doctest::Approx(1).epsilon(1e-4));
}

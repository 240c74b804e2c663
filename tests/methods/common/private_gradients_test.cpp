// Private gradients: clipping by hand, the size of the noise, mistakes.
#include "methods/common/private_gradients.h"

#include <doctest/doctest.h>

#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "tests/methods/check_close.h"

using namespace plumb;
using methods::private_gradients;

TEST_CASE("private_gradients: every example counts with a norm of at most C over all parameters") {
  // Norms over both parameters: 5 (3, 4), 0.5, 13 (0, 12, 5).
  std::vector<Tensor> g{tensor({{3., 0.}, {.3, 0.}, {0., 12.}}, f64), tensor({4., .4, 5.}, f64)};
  Generator generator(1);
  auto mean = private_gradients(g, 1, 0, generator);
  check_close(mean[0], {(.6 + .3) / 3, 12. / 13 / 3});
  check_close(mean[1], {(.8 + .4 + 5. / 13) / 3});
  auto loose = private_gradients(g, 100, 0, generator);
  check_close(loose[0], {3.3 / 3, 4});
}

TEST_CASE("private_gradients: the noise has deviation σ C / B") {
  std::vector<Tensor> g{zeros({4, 50, 50}, f64)};
  Generator generator(2);
  Tensor noise = private_gradients(g, 2, 3, generator)[0];
  CHECK(noise.shape() == Shape{50, 50});
  CHECK(std_dev(noise).item() == doctest::Approx(1.5).epsilon(0.05));  // 2,500 draws: 1.4 %
  CHECK(mean(noise).item() == doctest::Approx(0).epsilon(0.12));
}

TEST_CASE("private_gradients: mistakes are named") {
  CHECK_THROWS_WITH_AS(private_gradients({zeros({2, 3})}, 0, 1),
                       "private_gradients: needs clip > 0 and a noise multiplier >= 0, got 0 and 1", ValueError);
  CHECK_THROWS_WITH_AS(private_gradients({zeros({2, 3}), zeros({3})}, 1, 1), "private_gradients: gradients [3] beside those of 2 examples",
                       ShapeError);
  CHECK_THROWS_WITH_AS(private_gradients({}, 1, 1), "private_gradients: needs gradients of at least one example", ShapeError);
}

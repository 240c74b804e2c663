// Principal components.
#include <doctest/doctest.h>

#include "models/autoencoder/principal_components.h"
#include "ops/elementary.h"
#include "ops/join.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "tests/ops/samples.h"

using namespace plumb;
using autoencoder::PrincipalComponents;

TEST_CASE("principal_components: codes are uncorrelated with the stated variances, all of them decode to the rows themselves") {
  Tensor rows = matmul(test::sample({200, 4}, 1), test::sample({4, 4}, 2)) + 3.0;
  PrincipalComponents all(rows, 4), two(rows, 2);
  CHECK(test::difference(all.decode(all.encode(rows)), rows) < 1e-10);
  CHECK(all.share_kept() == doctest::Approx(1).epsilon(1e-10));
  Tensor z = two.encode(rows), covariance = matmul(transpose(z, 0, 1), z) * (1 / 199.0);
  CHECK(max(abs(mean(z, {0}))).item() < 1e-10);
  auto c = to_vector(covariance);
  CHECK(c[0] == doctest::Approx(two.variances()[0]).epsilon(1e-10));
  CHECK(c[3] == doctest::Approx(two.variances()[1]).epsilon(1e-10));
  CHECK(std::abs(c[1]) < 1e-10 * c[0]);
  CHECK(c[0] > c[3]);
  double lost = sum(square(two.decode(z) - rows)).item() / 199, total = 0;
  for (double v : all.variances()) total += v;
  CHECK(lost == doctest::Approx(total * (1 - two.share_kept())).epsilon(1e-9));
}

TEST_CASE("principal_components: too many of them, or too few rows, are errors of one line") {
  CHECK_THROWS_WITH_AS(PrincipalComponents(ones({5, 3}), 4), "principal_components: 4 components of 5 rows of 3 numbers", ValueError);
  CHECK_THROWS_AS(PrincipalComponents(ones({1, 3}), 1), ValueError);
  CHECK_THROWS_WITH_AS(PrincipalComponents(ones({5}), 1), "principal_components: takes rows [n, d], got [5]", ShapeError);
}

// Low-rank projections and subspace distances on matrices whose answers are known.
#include "methods/common/low_rank.h"

#include <doctest/doctest.h>

#include <cmath>

#include "ops/create.h"
#include "ops/linalg.h"
#include "ops/matmul.h"
#include "tests/ops/samples.h"

using namespace plumb;
using namespace plumb::methods;

TEST_CASE("project_rank: what is lost are the smaller singular values") {
  Tensor x = test::sample({7, 5}, 1);
  std::vector<double> s = to_vector(svd(x).s);
  Tensor two = project_rank(x, 2);
  std::vector<double> kept = to_vector(svd(two).s);
  CHECK(kept[1] == doctest::Approx(s[1]));
  CHECK(kept[2] == doctest::Approx(0).epsilon(1e-12));
  CHECK(sum(square(x - two)).item() == doctest::Approx(s[2] * s[2] + s[3] * s[3] + s[4] * s[4]));
  CHECK(test::difference(project_rank(x, 5), x) < 1e-12);
  CHECK(test::difference(project_rank(two, 2), two) < 1e-12);
  CHECK(project_rank(to(x, f32), 1).dtype() == f32);
  CHECK(test::difference(project_rank_gram(x, 2), two) < 1e-12);
  CHECK(test::difference(project_rank_gram(mT(x), 2), mT(two)) < 1e-12);
  CHECK(test::difference(project_rank_gram(two, 2), two) < 1e-12);
  CHECK_THROWS_WITH_AS(project_rank_gram(x, 0), "project_rank: k = 0 must lie in [1, 5]", ValueError);
  CHECK(sum(abs(shrink_singular_values(x, s[0] + 1e-9))).item() == 0);
  CHECK(svd(shrink_singular_values(x, 0.5)).s.data<double>()[0] == doctest::Approx(s[0] - 0.5));
  CHECK_THROWS_WITH_AS(project_rank(x, 6), "project_rank: k = 6 must lie in [1, 5]", ValueError);
  CHECK_THROWS_WITH_AS(project_rank(zeros({3}), 1), "project_rank: takes a matrix, got [3]", ShapeError);
}

TEST_CASE("subspace_distance: the sine of the angle; 0 for the same space, 1 across") {
  double angle = 0.3;
  Tensor a = tensor({{1.0}, {0.0}, {0.0}}, f64), b = tensor({{std::cos(0.3)}, {std::sin(0.3)}, {0.0}}, f64);
  CHECK(subspace_distance(a, b) == doctest::Approx(std::sin(angle)));
  CHECK(principal_cosines(a, b).item() == doctest::Approx(std::cos(angle)));
  CHECK(subspace_distance(a, tensor({{0.0}, {0.0}, {2.0}}, f64)) == doctest::Approx(1));
  Tensor u = test::sample({9, 3}, 2), w = test::sample({9, 3}, 3);
  CHECK(subspace_distance(u, u) < 1e-14);
  CHECK(subspace_distance(u, matmul(u, test::sample({3, 3}, 4))) < 1e-12);
  CHECK(subspace_distance(u, w) <= 1);
  double smallest = to_vector(principal_cosines(u, w))[2], distance = subspace_distance(u, w);
  CHECK(distance * distance + smallest * smallest == doctest::Approx(1));
  CHECK_THROWS_WITH_AS(subspace_distance(u, zeros({8, 3})), "subspace_distance: takes bases [n, k] and [n, l], got [9, 3] and [8, 3]",
                       ShapeError);
}

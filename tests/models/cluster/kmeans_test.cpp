// k-means: a worked line, invariances, the best of all partitions, empty clusters, bad input.
#include "models/cluster/kmeans.h"

#include <doctest/doctest.h>

#include <cmath>

#include "models/cluster/assignment.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/random.h"
#include "tests/ops/samples.h"

using namespace plumb;
using namespace plumb::cluster;

TEST_CASE("kmeans: six points on a line, worked out") {
  Tensor x = tensor({{0.0}, {1.0}, {2.0}, {10.0}, {11.0}, {15.0}}, f64);
  KMeans m = kmeans_from(x, tensor({{0.0}, {2.0}}, f64));
  CHECK(to_vector(m.centres) == std::vector<double>{1, 12});
  CHECK(m.inertia == doctest::Approx(2 + 4 + 1 + 9));
  CHECK(to_vector<int64_t>(m.assignment) == std::vector<int64_t>{0, 0, 0, 1, 1, 1});
  CHECK(m.converged);
  KMeans cut = kmeans_from(x, tensor({{0.0}, {2.0}}, f64), 1);  // 0 and 1 go to 0 (1 is a tie), the rest to 2
  CHECK_FALSE(cut.converged);
  CHECK(to_vector(cut.centres) == std::vector<double>{0.5, 9.5});
}

TEST_CASE("kmeans: finds the best of all partitions of eight points") {
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    Tensor x = test::sample({8, 2}, seed);
    std::vector<double> v = to_vector(x);
    double best = INFINITY;
    for (unsigned part = 1; part < 255; ++part) {  // every way into two
      double inertia = 0;
      for (unsigned side = 0; side < 2; ++side) {
        double n = 0, mean[2] = {}, squares = 0;
        for (unsigned i = 0; i < 8; ++i)
          if ((part >> i & 1) == side)
            n += 1, mean[0] += v[2 * i], mean[1] += v[2 * i + 1], squares += v[2 * i] * v[2 * i] + v[2 * i + 1] * v[2 * i + 1];
        inertia += squares - (mean[0] * mean[0] + mean[1] * mean[1]) / n;
      }
      best = std::min(best, inertia);
    }
    Generator g(seed);
    CHECK(kmeans(x, 2, {.restarts = 30, .generator = &g}).inertia == doctest::Approx(best).epsilon(1e-10));
  }
}

TEST_CASE("kmeans: separate groups are found from any seed, the same seed gives the same") {
  manual_seed(1);
  Tensor x = cat({randn({40, 3}), randn({60, 3}) + 20, randn({30, 3}) - 20}),
         labels = cat({zeros({40}, i64), ones({60}, i64), full({30}, 2, i64)});
  for (uint64_t seed = 0; seed < 5; ++seed) {
    Generator g(seed), again(seed);
    KMeans m = kmeans(x, 3, {.generator = &g});
    CHECK(cluster_accuracy(m.assignment, labels) == 1);
    CHECK(test::same_bits(kmeans(x, 3, {.generator = &again}).centres, m.centres));
  }
}

TEST_CASE("kmeans: an empty cluster takes the farthest point; twins; as many clusters as points") {
  Tensor x = tensor({{0.0}, {1.0}, {5.0}}, f64);
  KMeans m = kmeans_from(x, tensor({{0.5}, {100.0}}, f64));
  CHECK(to_vector(m.centres) == std::vector<double>{0.5, 5});
  CHECK(kmeans(tensor({{1.0}, {1.0}, {1.0}}), 2).inertia == 0);
  CHECK(kmeans(x, 3).inertia == 0);
  CHECK(kmeans(x, 1).centres.item() == doctest::Approx(2));
}

TEST_CASE("kmeans_plus_plus: never the same point twice, far ones more often") {
  Tensor x = tensor({{0.0}, {1.0}, {10.0}}, f64);
  Generator g(1);
  double far = 0, near = 0;
  for (int i = 0; i < 3000; ++i) {
    auto p = to_vector<int64_t>(kmeans_plus_plus(x, 2, &g));
    REQUIRE(p[0] != p[1]);
    if (p[0] == 0) (p[1] == 2 ? far : near) += 1;
  }
  CHECK(far / (far + near) == doctest::Approx(100.0 / 101).epsilon(0.02));
}

TEST_CASE("kmeans: bad input is named") {
  CHECK_THROWS_WITH_AS(kmeans(zeros({3, 2}), 4), "kmeans: k = 4 must lie in [1, 3], the number of rows", ValueError);
  CHECK_THROWS_WITH_AS(kmeans(zeros({3}), 1), "kmeans: takes rows [n, d], got [3]", ShapeError);
  CHECK_THROWS_WITH_AS(kmeans(tensor({{1.0}, {NAN}}), 1), "kmeans: a value is not finite", ValueError);
  CHECK_THROWS_WITH_AS(kmeans_from(zeros({3, 2}), zeros({1, 3})), "kmeans_from: takes rows [n, d] and [m, d], got [3, 2] and [1, 3]",
                       ShapeError);
  CHECK_THROWS_WITH_AS(kmeans(zeros({3, 2}), 1, {.restarts = 0}), "kmeans: restarts and iterations must be at least 1, they are 0 and 300",
                       ValueError);
}

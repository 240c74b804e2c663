// Gradients of several objectives made into one direction.
#include "models/optim/objectives.h"

#include "optimizer_checks.h"

using namespace plumb;
using namespace plumb::test;
using Numbers = std::vector<double>;
using optim::GradientList;

static GradientList vector2(double a, double b) { return {tensor({a}, f64), tensor({b}, f64)}; }  // one vector over two tensors
static Numbers values(const GradientList& g) { return to_vector(optim::flatten(g)); }

TEST_CASE("pcgrad: conflicting gradients lose what hurts the other, others stay; the worked example") {
  Generator g(0);
  std::vector<GradientList> conflict{vector2(1, 2), vector2(-3, 1)};
  Numbers sum = values(optim::pcgrad(conflict, g));
  CHECK(sum[0] == doctest::Approx(0.7 - 2.8));
  CHECK(sum[1] == doctest::Approx(2.1 + 1.4));
  CHECK(values(conflict[0]) == Numbers{1, 2});  // the given gradients stay
  CHECK(values(optim::pcgrad({vector2(1, 2), vector2(-2, 1.5)}, g)) == Numbers{-1, 3.5});
  CHECK_THROWS_AS(optim::pcgrad({}), ValueError);
}

TEST_CASE("pcgrad: of three, each is projected against the others as they were, in the generator's order") {
  std::vector<GradientList> three{{waves({3}, 1)}, {waves({3}, 3.5)}, {waves({3}, 5.5)}};
  Generator g(5), h(5);
  Numbers sum = values(optim::pcgrad(three, g)), expected(3, 0.0);
  for (size_t i = 0; i < 3; ++i) {
    size_t order[3] = {0, 1, 2};
    for (size_t k = 3; k > 1; --k) std::swap(order[k - 1], order[h.next_below(k)]);
    Numbers d = values(three[i]);
    for (size_t j : order) {
      Numbers o = values(three[j]);
      double along = 0, square = 0;
      for (size_t e = 0; e < 3; ++e) {
        along += d[e] * o[e];
        square += o[e] * o[e];
      }
      if (j != i && along < 0)
        for (size_t e = 0; e < 3; ++e) d[e] -= along / square * o[e];
    }
    for (size_t e = 0; e < 3; ++e) expected[e] += d[e];
  }
  for (size_t e = 0; e < 3; ++e) CHECK(sum[e] == doctest::Approx(expected[e]));
}

TEST_CASE("mgda: the shortest convex combination; the worked example and its corners") {
  std::vector<GradientList> two{vector2(1, 2), vector2(-3, 1)};
  Numbers w = optim::mgda_weights(two), d = values(optim::mgda(two));
  CHECK(w[0] == doctest::Approx(0.647059).epsilon(1e-6));
  CHECK(d[0] == doctest::Approx(-0.411765).epsilon(1e-5));
  CHECK(d[1] == doctest::Approx(1.64706).epsilon(1e-5));
  CHECK(d[0] + 2 * d[1] == doctest::Approx(-3 * d[0] + d[1]));
  CHECK(optim::mgda_weights({vector2(1, 0), vector2(5, 1)}) == Numbers{1, 0});
  CHECK(optim::mgda_weights({vector2(3, 4)}) == Numbers{1});
}

// The minimum is characterised by: ⟨g_i, d⟩ ≥ |d|² for all i, with equality where w_i > 0.
TEST_CASE("mgda: of many objectives satisfies the condition for the minimum") {
  for (size_t n : {3, 5, 8}) {
    std::vector<GradientList> many;
    for (size_t i = 0; i < n; ++i) {
      Tensor g = waves({20}, 2.3 * static_cast<double>(i * i));
      many.push_back({g + 0.8});  // a common part, so that zero is not reached
    }
    Numbers w = optim::mgda_weights(many);
    GradientList d = optim::mgda(many);
    double length = optim::dot(d, d), total = 0;
    REQUIRE(length > 0.01);
    for (size_t i = 0; i < n; ++i) {
      CHECK(w[i] >= 0);
      total += w[i];
      double along = optim::dot(many[i], d);
      CHECK(along >= length * (1 - 1e-6));
      if (w[i] > 1e-6) CHECK(along == doctest::Approx(length).epsilon(1e-6));
    }
    CHECK(total == doctest::Approx(1));
  }
  CHECK_THROWS_WITH_AS(optim::min_norm_weights({1, 2}, 2), "min_norm_weights: needs n·n products, got 2 for n = 2", ShapeError);
}

TEST_CASE("objective_gradients: one list a loss, zeros where a loss does not reach, grad() left alone") {
  Tensor a = tensor({2.0}, f64).requires_grad_(), b = tensor({3.0}, f64).requires_grad_();
  Tensor shared = a * a;
  auto g = optim::objective_gradients({sum(shared * b), sum(shared)}, {a, b});
  CHECK(values(g[0]) == Numbers{12, 4});
  CHECK(values(g[1]) == Numbers{4, 0});
  CHECK_FALSE(a.grad().defined());
  CHECK(values(optim::weighted_sum(g, {0.5, 2})) == Numbers{14, 2});
  CHECK_THROWS_WITH_AS(optim::weighted_sum(g, {1}), "weighted_sum: 2 objectives, 1 weights", ShapeError);
}

TEST_CASE("adaptive_weight: the ratio of two gradients' lengths, kept in its range, the gradients themselves left alone") {
  Tensor w = tensor({0.0, 0.0}, f64).requires_grad_();
  Tensor first = sum(w * tensor({3.0, 4.0}, f64)), second = sum(w * tensor({0.6, 0.8}, f64)), flat = sum(w * tensor({0.0, 0.0}, f64));
  CHECK(optim::adaptive_weight(first, second, w) == doctest::Approx(4.9995).epsilon(1e-6));  // 5 / (1 + 1e-4)
  CHECK(optim::adaptive_weight(first, flat, w) == 1e4);
  CHECK(optim::adaptive_weight(first, second, w, {.low = 0.01, .high = 2}) == 2);
  CHECK(optim::adaptive_weight(flat, second, w, {.low = 0.01, .high = 10}) == 0.01);
  Tensor other = tensor({1.0}, f64).requires_grad_();
  CHECK(optim::adaptive_weight(first, sum(other * 2), w) == 1e4);  // does not depend on w
  CHECK_FALSE(w.grad().defined());
  first.backward();  // the graph is still there
  CHECK_THROWS_WITH_AS(optim::adaptive_weight(first, second, w, {.eps = 0}),
                       "adaptive_weight: needs eps > 0 and low <= high, got 0, 0 and 10000", ValueError);
}

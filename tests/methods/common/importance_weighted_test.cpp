// Importance-weighted bounds: worked numbers, one sample, equal samples, weights, errors.
#include "methods/common/importance_weighted.h"

#include <doctest/doctest.h>

#include <cmath>

#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "tests/ops/samples.h"

using namespace plumb;
using namespace plumb::methods;

namespace {

Tensor column(std::initializer_list<double> v) { return reshape(from_vector(std::vector<double>(v)), {static_cast<int64_t>(v.size()), 1}); }
Tensor logs(std::initializer_list<double> v) {
  std::vector<double> l;
  for (double p : v) l.push_back(std::log(p));
  return reshape(from_vector(l), {static_cast<int64_t>(l.size()), 1});
}

ImportanceTerms worked() {
  return {column({-3.2, -2.5, -4.0}), column({-1.1, -1.5, -.9}), column({-.8, -1.0, -.7}), logs({.7, .4, .55}), column({-.6, -.9, -.5})};
}
void check_close(const Tensor& x, std::initializer_list<double> expected, double tolerance) {
  std::vector<double> v = to_vector(x);
  REQUIRE(v.size() == expected.size());
  for (size_t i = 0; i < v.size(); ++i) CHECK(v[i] == doctest::Approx(expected.begin()[i]).epsilon(tolerance));
}

}  // namespace

TEST_CASE("importance weights: three samples by hand") {
  ImportanceTerms t = worked();
  Tensor log_r = log_importance(t);
  check_close(importance_weights(log_r), {0.317934, 0.524185, 0.157881}, 3e-6);
  Tensor p = reshape(tensor({0.7, 0.4, 0.55}, f64), {3, 1, 1});
  check_close(importance_predict(log_r, p), {0.519062}, 2e-6);
  check_close(effective_sample_size(log_r), {2.49515}, 2e-6);
  check_close(importance_weighted_loss(t), {4.79956}, 2e-6);
  ImportanceTerms first{narrow(t.log_p_x, 0, 0, 1), narrow(t.log_p_z, 0, 0, 1), narrow(t.log_q, 0, 0, 1), narrow(t.log_p_y, 0, 0, 1),
                        narrow(t.log_p_s, 0, 0, 1)};
  check_close(importance_weighted_loss(first), {4.45667}, 2e-6);
  t.log_p_m = column({-1.2, -.8, -1.6});
  check_close(importance_weights(log_importance(t)), {0.263680, 0.648548, 0.0877715}, 3e-6);
  check_close(importance_weighted_loss(t), {5.90931}, 2e-6);
}

TEST_CASE("importance weights: one sample is the plain sum, equal samples are one") {
  Tensor x = test::sample({1, 4}, 1), z = test::sample({1, 4}, 2), q = test::sample({1, 4}, 3), y = test::sample({1, 4}, 4),
         s = test::sample({1, 4}, 5);
  ImportanceTerms one{x, z, q, y, s};
  CHECK(test::difference(importance_weighted_loss(one), squeeze(-(y + s + x + z - q), 0)) < 1e-14);
  CHECK(test::difference(importance_weights(log_importance(one)), ones({1, 4}, f64)) == 0);
  auto five = [](const Tensor& t) { return expand(t, {5, 4}); };
  ImportanceTerms same{five(x), five(z), five(q), five(y), five(s)};
  CHECK(test::difference(importance_weighted_loss(same), importance_weighted_loss(one)) < 1e-14);
  CHECK(test::difference(effective_sample_size(log_importance(same)), full({4}, 5.0, f64)) < 1e-13);
}

TEST_CASE("importance weights: they sum to 1 and count between one and all samples, also far apart") {
  for (double spread : {0.1, 3.0, 500.0}) {
    Tensor log_r = test::sample({7, 20}, 6) * spread;
    CHECK(test::difference(sum(importance_weights(log_r), {0}), ones({20}, f64)) < 1e-13);
    for (double ess : to_vector(effective_sample_size(log_r))) {
      CHECK(ess >= 1 - 1e-12);
      CHECK(ess <= 7 + 1e-12);
    }
  }
}

TEST_CASE("importance weights: what does not fit is refused") {
  ImportanceTerms t = worked();
  t.log_q = zeros({2, 1}, f64);
  CHECK_THROWS_WITH_AS(importance_weighted_loss(t), "importance_weighted: log_q is [2, 1], log_p_x [3, 1]", ShapeError);
  Tensor none = zeros({0, 2}, f64);
  CHECK_THROWS_WITH_AS(log_importance({none, none, none}), "importance_weighted: there are no samples of the latent", ValueError);
}

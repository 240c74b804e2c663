// Contrastive losses with masks against plain loops, and their limits.
#include "methods/common/masked_contrastive.h"

#include <doctest/doctest.h>

#include <cmath>

#include "ops/gradcheck.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"

using namespace plumb;
using namespace plumb::methods;

namespace {

// Khosla's loss with two loops.
double by_loops(const Tensor& features, const std::vector<int64_t>& labels, double tau) {
  auto f = to_vector(features);
  auto n = labels.size(), d = f.size() / n;
  auto cosine = [&](size_t i, size_t j) {
    double ij = 0, ii = 0, jj = 0;
    for (size_t k = 0; k < d; ++k) ij += f[i * d + k] * f[j * d + k], ii += f[i * d + k] * f[i * d + k], jj += f[j * d + k] * f[j * d + k];
    return ij / std::sqrt(ii * jj);
  };
  double total = 0, anchors = 0;
  for (size_t i = 0; i < n; ++i) {
    double all = 0, own = 0, positives = 0;
    for (size_t j = 0; j < n; ++j) {
      if (j == i) continue;
      all += std::exp(cosine(i, j) / tau);
      if (labels[j] == labels[i]) own += cosine(i, j) / tau, ++positives;
    }
    if (positives > 0) total += std::log(all) - own / positives, ++anchors;
  }
  return total / anchors;
}

}  // namespace

TEST_CASE("masked contrastive: the supervised contrastive loss is that of two plain loops") {
  Generator g(1);
  Tensor f = randn({7, 3}, {.dtype = f64, .generator = &g});
  std::vector<int64_t> labels{0, 1, 0, 2, 1, 0, 3};  // two rows without a positive
  CHECK(supervised_contrastive(f, from_vector(labels), 0.3).item() == doctest::Approx(by_loops(f, labels, 0.3)).epsilon(1e-12));
  CHECK(supervised_contrastive(f, tensor({0, 1, 2, 3, 4, 5, 6})).item() == 0);
  auto loss = [&](const Tensor& x) { return supervised_contrastive(x, from_vector(labels), 0.3); };
  CHECK_MESSAGE(gradcheck(loss, {f}).passed, gradcheck(loss, {f}).message);
}

TEST_CASE("masked contrastive: weights of negatives and a number more in the denominator, by hand") {
  Tensor s = tensor({{9.0, 1.0, 2.0}, {9.0, 9.0, 9.0}}, f64);
  MaskedContrastive pairs{.positive = tensor({{false, true, false}, {false, false, false}}),
                          .negative = tensor({{false, false, true}, {true, false, false}}),
                          .negative_log_weight = full({2, 3}, std::log(3.0), f64),
                          .extra = tensor({std::log(5.0), 0.0}, f64)};
  auto rows = to_vector(masked_contrastive(s, pairs));
  CHECK(rows[0] == doctest::Approx(std::log(std::exp(1.0) + 3 * std::exp(2.0) + 5) - 1).epsilon(1e-12));
  CHECK(rows[1] == 0);  // no positive
  pairs.extra = {};
  pairs.negative_log_weight = {};
  CHECK(to_vector(masked_contrastive(s, pairs))[0] == doctest::Approx(std::log1p(std::exp(1.0))).epsilon(1e-12));
}

TEST_CASE("masked contrastive: a row without any pair is 0 and passes no gradient, large similarities do not overflow") {
  Tensor s = full({2, 2}, 5000.0, f64).requires_grad_();
  MaskedContrastive pairs{.positive = tensor({{false, true}, {false, false}}), .negative = zeros({2, 2}, boolean)};
  Tensor rows = masked_contrastive(s, pairs);
  CHECK(to_vector(rows) == std::vector<double>{0, 0});
  sum(rows).backward();
  for (double v : to_vector(s.grad())) CHECK(v == 0);
}

TEST_CASE("masked contrastive: mistakes are named") {
  Tensor s = zeros({2, 2}), yes = ones({2, 2}, boolean), no = zeros({2, 2}, boolean);
  CHECK_THROWS_WITH_AS(masked_contrastive(s, {.positive = yes, .negative = yes}),
                       "masked_contrastive: a pair is both positive and negative", ValueError);
  CHECK_THROWS_WITH_AS(masked_contrastive(s, {.positive = yes}), "masked_contrastive: negatives undefined for similarities [2, 2]",
                       ShapeError);
  CHECK_THROWS_WITH_AS(masked_contrastive(s, {.positive = zeros({2, 2}), .negative = no}), "masked_contrastive: positives must be bool",
                       DTypeError);
  CHECK_THROWS_AS(masked_contrastive(s, {.positive = yes, .negative = no, .extra = zeros({3})}), ShapeError);
  CHECK_THROWS_WITH_AS(cosine_similarities(s, 0), "cosine_similarities: the temperature must be positive, it is 0", ValueError);
  CHECK_THROWS_AS(supervised_contrastive(s, tensor({0, 1, 2})), ShapeError);
}

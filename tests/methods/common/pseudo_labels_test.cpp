// Pseudo-labels: masks, sharpening, weighted losses, alignment and thresholds against worked numbers.
#include <doctest/doctest.h>

#include <cmath>

#include "methods/common/pseudo_labels.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/softmax.h"

using namespace plumb;
using namespace plumb::methods;

TEST_CASE("pseudo-labels: the first largest class, masks with and without equality") {
  Tensor p = tensor({{0.5, 0.5, 0.0}, {0.1, 0.1, 0.8}, {0.0, 1.0, 0.0}});
  PseudoLabels labels = pseudo_labels(p);
  CHECK(to_vector<int64_t>(labels.label) == std::vector<int64_t>{0, 2, 1});
  CHECK(to_vector(labels.confidence)[1] == doctest::Approx(0.8));
  CHECK(to_vector(confidence_mask(p, 0.5)) == std::vector<double>{1, 1, 1});
  CHECK(to_vector(confidence_mask(p, 0.5, true)) == std::vector<double>{0, 1, 1});
  CHECK_THROWS_WITH_AS(pseudo_labels(tensor({{0.5, 0.4}})), "pseudo_labels: row 0 of the probabilities sums to 0.9, not 1", ValueError);
  CHECK_THROWS_WITH_AS(confidence_mask(p, 1.5), "confidence_mask: the threshold must lie in [0, 1], it is 1.5", ValueError);
}

TEST_CASE("pseudo-labels: sharpening is a softmax at a lower temperature") {
  Tensor z = tensor({{2.0, 0.5, -1.0}, {0.3, 0.2, 0.1}}, f64);
  auto got = to_vector(sharpen(softmax(z, 1), 0.4)), wanted = to_vector(softmax(z, 1, 0.4));
  for (size_t i = 0; i < got.size(); ++i) CHECK(got[i] == doctest::Approx(wanted[i]).epsilon(1e-12));
}

TEST_CASE("pseudo-labels: the weighted cross-entropy divides by the whole batch and leaves its targets without gradient") {
  Tensor z = tensor({{1.0, 0.0}, {0.0, 2.0}, {1.0, 1.0}}, f64).requires_grad_(), weight = tensor({0.5, 0.0, 1.0}, f64);
  Tensor target = tensor({{0.25, 0.75}, {1.0, 0.0}, {0.5, 0.5}}, f64).requires_grad_();
  Tensor loss = weighted_cross_entropy(z, target, weight);
  double lse = std::log(std::exp(1.0) + 1);  // row 0: lse - 0.25, row 2: log 2
  CHECK(loss.item() == doctest::Approx((0.5 * (lse - 0.25) + std::log(2.0)) / 3).epsilon(1e-12));
  loss.backward();
  CHECK_FALSE(target.grad().defined());
  auto g = to_vector(z.grad());
  double p = 1 / (1 + std::exp(-1.0));
  CHECK(g[0] == doctest::Approx(0.5 * (p - 0.25) / 3).epsilon(1e-12));
  CHECK(g[2] == 0);
  CHECK(g[3] == 0);
}

TEST_CASE("pseudo-labels: alignment by queue, by average before and after use") {
  Tensor p = tensor({{0.7, 0.2, 0.1}, {0.6, 0.3, 0.1}}, f64);
  // The mean is (.65, .25, .1), whether in one of 32 slots or alone: row 0 becomes (.7/.65, .2/.25, 1) normalised.
  double sum = 0.7 / 0.65 + 0.8 + 1;
  auto queue = DistributionAligner::queue(3);
  auto average = DistributionAligner::average(3);
  for (auto& row : {to_vector(queue.align(p)), to_vector(average.align(p))}) {
    CHECK(row[0] == doctest::Approx(0.7 / 0.65 / sum).epsilon(1e-12));
    CHECK(row[2] == doctest::Approx(1 / sum).epsilon(1e-12));
  }
  auto after = DistributionAligner::average_after(3, 0.9);
  auto first = to_vector(after.align(p)), raw = to_vector(p);
  for (size_t i = 0; i < raw.size(); ++i) CHECK(first[i] == doctest::Approx(raw[i]).epsilon(1e-12));
  auto mean = to_vector(after.mean());
  CHECK(mean[0] == doctest::Approx(0.365));
  CHECK(mean[1] == doctest::Approx(0.325));
  auto second = to_vector(after.align(p));
  const double wanted[6] = {.671555, .215488, .112957, .568901, .319460, .111639};
  for (size_t i = 0; i < 6; ++i) CHECK(second[i] == doctest::Approx(wanted[i]).epsilon(2e-6));
}

TEST_CASE("pseudo-labels: a scalar average starts at its first number") {
  ScalarEma rho(0.999);
  CHECK(rho.update(0.1) == doctest::Approx(0.1));
  CHECK(rho.update(0.2) == doctest::Approx(0.1001));
  CHECK(rho.update(0.4) == doctest::Approx(0.1003999));
}

TEST_CASE("pseudo-labels: flexible thresholds follow the classes' counts") {
  FlexThresholds flex(10, 3, 0.9);
  CHECK(flex.thresholds() == std::vector<double>{0, 0, 0});
  flex.update(tensor({0, 1, 2, 3}), {tensor({0, 0, 1, 2}), tensor({0.95, 0.92, 0.99, 0.5})});
  // Counts (2, 1, 0), 7 unused: β = (2/7, 1/7, 0).
  auto t = flex.thresholds();
  CHECK(t[0] == doctest::Approx(0.9 * (2.0 / 7) / (2 - 2.0 / 7)));
  CHECK(t[1] == doctest::Approx(0.9 * (1.0 / 7) / (2 - 1.0 / 7)));
  CHECK(t[2] == 0);
  CHECK(to_vector(flex.mask({tensor({0, 0}), tensor({0.1, 0.2})})) == std::vector<double>{0, 1});
}

TEST_CASE("pseudo-labels: utilisation counts used rows and how many are right") {
  UtilisationMeter meter;
  meter.add(tensor({0.0, 0.5, 1.0, 1.0}), tensor({0, 1, 2, 2}), tensor({0, 1, 1, 2}));
  CHECK(meter.used() == doctest::Approx(0.75));
  CHECK(meter.accuracy() == doctest::Approx(2.0 / 3));
}

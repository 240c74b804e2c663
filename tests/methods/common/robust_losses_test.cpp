// Losses for noisy labels: values against plain loops, derivatives, limits, the table of names, and mistakes.
#include <doctest/doctest.h>

#include <cmath>
#include <functional>

#include "methods/common/noisy_label_losses.h"
#include "methods/common/robust_losses.h"
#include "ops/gradcheck.h"
#include "ops/index.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/shape.h"
#include "tests/methods/check_close.h"

using namespace plumb;
using namespace plumb::methods;

namespace {

using Row = std::vector<double>;
const std::vector<Row> kScores{{2, 1, -1, .5}, {-.3, .4, 1.7, -2}, {.1, .2, .15, 3}};
const std::vector<int64_t> kLabels{1, 2, 0};

Tensor scores() { return tensor({{2.0, 1.0, -1.0, 0.5}, {-0.3, 0.4, 1.7, -2.0}, {0.1, 0.2, 0.15, 3.0}}, f64); }
Tensor labels() { return from_vector(kLabels); }

Row softmax_of(const Row& f) {
  double total = 0;
  Row p;
  for (double v : f) total += std::exp(v);
  for (double v : f) p.push_back(std::exp(v) / total);
  return p;
}

// The mean over the rows of loss(f, p, y).
double mean_of(const std::function<double(const Row& f, const Row& p, size_t y)>& loss) {
  double total = 0;
  for (size_t i = 0; i < kScores.size(); ++i) total += loss(kScores[i], softmax_of(kScores[i]), static_cast<size_t>(kLabels[i]));
  return total / static_cast<double>(kScores.size());
}

}  // namespace

TEST_CASE("robust losses: margins between scores") {
  for (double c : {0.0, 0.1, 1.0, 10.0}) {
    CAPTURE(c);
    double largest = mean_of([c](const Row& f, const Row&, size_t y) {
      double worst = 0;
      for (size_t k = 0; k < f.size(); ++k)
        if (k != y) worst = std::max(worst, c + f[k] - f[y]);
      return worst;
    });
    double average = mean_of([c](const Row& f, const Row&, size_t y) {
      double total = 0;
      for (size_t k = 0; k < f.size(); ++k)
        if (k != y) total += std::max(0.0, c + f[k] - f[y]) / 4;
      return total;
    });
    CHECK(crammer_singer_loss(scores(), labels(), c).item() == doctest::Approx(largest).epsilon(1e-12));
    CHECK(weston_watkins_loss(scores(), labels(), c).item() == doctest::Approx(average).epsilon(1e-12));
  }
  CHECK(weston_watkins_loss(scores(), labels(), 1).item() == doctest::Approx(multi_margin_loss(scores(), labels()).item()).epsilon(1e-12));
}

TEST_CASE("robust losses: functions of probabilities against plain loops") {
  auto value = [](const Tensor& loss) { return loss.item(); };
  CHECK(value(probability_mse(scores(), labels())) == doctest::Approx(mean_of([](const Row&, const Row& p, size_t y) {
                                                        double total = 0;
                                                        for (size_t k = 0; k < p.size(); ++k) total += std::pow((k == y ? 1 : 0) - p[k], 2);
                                                        return total;
                                                      })).epsilon(1e-12));
  auto nce = [](const Row&, const Row& p, size_t y) {
    double total = 0;
    for (double q : p) total += std::log(q);
    return std::log(p[y]) / total;
  };
  auto rce = [](const Row&, const Row& p, size_t y) {
    double total = 0;
    for (size_t k = 0; k < p.size(); ++k) total -= p[k] * std::log(k == y ? 1 : 1e-4);
    return total;
  };
  auto aul = [](const Row&, const Row& p, size_t y) { return (std::pow(6 - p[y], 1.5) - std::pow(5, 1.5)) / 1.5; };
  auto agce = [](const Row&, const Row& p, size_t y) { return (std::pow(4, 1.5) - std::pow(3 + p[y], 1.5)) / 1.5; };
  CHECK(value(normalized_cross_entropy(scores(), labels())) == doctest::Approx(mean_of(nce)).epsilon(1e-12));
  CHECK(value(reverse_cross_entropy(scores(), labels())) == doctest::Approx(mean_of(rce)).epsilon(1e-12));
  CHECK(value(asymmetric_unhinged_loss(scores(), labels())) == doctest::Approx(mean_of(aul)).epsilon(1e-11));
  CHECK(value(asymmetric_generalized_loss(scores(), labels())) == doctest::Approx(mean_of(agce)).epsilon(1e-11));
  for (double v : {0.1, 5.0, 9.9}) {
    CHECK(value(nce_and_rce(scores(), labels(), v)) == doctest::Approx(v * mean_of(nce) + (10 - v) * mean_of(rce)).epsilon(1e-11));
    CHECK(value(nce_and_aul(scores(), labels(), v)) == doctest::Approx(v * mean_of(nce) + (10 - v) * mean_of(aul)).epsilon(1e-11));
    CHECK(value(nce_and_agce(scores(), labels(), v)) == doctest::Approx(v * mean_of(nce) + (10 - v) * mean_of(agce)).epsilon(1e-11));
  }
  for (double t : {0.01, 1.0})
    CHECK(value(robust_log_loss(scores(), labels(), t)) == doctest::Approx(mean_of([t](const Row&, const Row& p, size_t y) {
                                                             double total = -std::log(t + p[y]);
                                                             for (size_t k = 0; k < p.size(); ++k)
                                                               if (k != y) total += std::log(t + p[k]) / 3;
                                                             return total;
                                                           })).epsilon(1e-12));
}

TEST_CASE("robust losses: the Jensen–Shannon form on p_y is the divergence of the whole distributions, and its limit the cross-entropy") {
  for (double first : {0.1, 0.5, 0.9}) {
    CAPTURE(first);
    double second = 1 - first, scale = -1 / (second * std::log(second));
    double wanted = mean_of([&](const Row&, const Row& p, size_t y) {
      double label = 0, prediction = 0;
      for (size_t k = 0; k < p.size(); ++k) {
        double m = (k == y ? first : 0) + second * p[k];
        if (k == y) label += std::log(1 / m);
        prediction += p[k] * std::log(p[k] / m);
      }
      return scale * (first * label + second * prediction);
    });
    CHECK(generalized_js_loss(scores(), labels(), first).item() == doctest::Approx(wanted).epsilon(1e-11));
  }
  CHECK(generalized_js_loss(scores(), labels(), 1e-7).item() == doctest::Approx(cross_entropy(scores(), labels()).item()).epsilon(1e-5));
  // π₁ → 1: π₁ KL(onehot ‖ m) vanishes and what is left is the mean absolute error.
  CHECK(generalized_js_loss(scores(), labels(), 1 - 1e-9).item() ==
        doctest::Approx(absolute_error(scores(), labels()).item()).epsilon(0.1));
}

TEST_CASE("robust losses: every loss of the table is differentiable at its values, and symmetric ones sum to a constant over the labels") {
  for (const RobustLoss& loss : robust_losses()) {
    CAPTURE(loss.name);
    std::vector<double> values = loss.tried.empty() ? std::vector<double>{0} : loss.tried;
    CHECK((loss.tried.size() == 3) == (loss.parameter[0] != '\0'));
    for (double v : values) {
      auto f = [&](const std::vector<Tensor>& x) -> std::vector<Tensor> { return {loss.loss(x[0], labels(), v)}; };
      CHECK(gradcheck(f, {scores()}).passed);
    }
  }
  auto over_labels = [](const char* name, const Tensor& f) {
    double total = 0;
    for (int64_t y = 0; y < 4; ++y) total += find_robust_loss(name).loss(f, from_vector(std::vector<int64_t>{y}), 5).item();
    return total;
  };
  Tensor one = tensor({{2.0, 1.0, -1.0, 0.5}}, f64), other = tensor({{-3.0, 0.0, 0.1, 4.0}}, f64);
  for (const char* name : {"mae", "nce", "rce", "nce-rce"})
    CHECK(over_labels(name, one) == doctest::Approx(over_labels(name, other)).epsilon(1e-12));
  CHECK(std::abs(over_labels("ce", one) - over_labels("ce", other)) > 1);
}

TEST_CASE("robust losses: a fitted example costs nothing and leaves a gradient without NaN") {
  for (const char* name : {"mae", "mse", "rce", "aul", "agce", "js", "nce-rce", "nce-agce"}) {
    CAPTURE(name);
    Tensor z = tensor({{80.0, 0.0, 0.0}}).requires_grad_();
    Tensor loss = find_robust_loss(name).loss(z, tensor({0}), find_robust_loss(name).usual);
    CHECK(std::abs(loss.item()) < 1e-5);
    loss.backward();
    for (double g : to_vector(z.grad())) CHECK(std::isfinite(g));
  }
}

TEST_CASE("truncated generalised cross-entropy: examples below the threshold count nothing until they are seen again") {
  TruncatedGce loss(5, 0.7, 0.5);
  Tensor index = tensor({4, 0, 2});
  double all = loss(scores(), labels(), index).item();
  CHECK(all == doctest::Approx(generalized_cross_entropy(scores(), labels(), 0.7).item()).epsilon(1e-12));
  loss.refresh(scores(), labels(), index);  // p_y = .224, .708, .045
  CHECK(to_vector(loss.weights()) == std::vector<double>{1, 1, 0, 1, 0});
  double p = softmax_of(kScores[1])[2];
  CHECK(loss(scores(), labels(), index).item() == doctest::Approx((1 - std::pow(p, 0.7)) / 0.7 / 3).epsilon(1e-12));
  CHECK_THROWS_WITH_AS(TruncatedGce(5, 0.7, 1), "truncated_gce: the threshold must lie in [0, 1), it is 1", ValueError);
}

TEST_CASE("robust losses: mistakes are named") {
  CHECK_THROWS_WITH_AS(crammer_singer_loss(scores(), tensor({0, 4, 1})), "crammer_singer_loss: label 4 is outside [0, 4)", IndexError);
  CHECK_THROWS_WITH_AS(normalized_cross_entropy(scores(), tensor({0, -100, 1})), "normalized_cross_entropy: label -100 is outside [0, 4)",
                       IndexError);
  CHECK_THROWS_WITH_AS(probability_mse(zeros({2, 1}), tensor({0, 0})), "probability_mse: 1 classes; at least 2 are needed", ValueError);
  CHECK_THROWS_WITH_AS(robust_log_loss(scores(), tensor({0, 1})),
                       "robust_log_loss: scores must be [B, K] and labels [B], they are [3, 4] and [2]", ShapeError);
  CHECK_THROWS_WITH_AS(generalized_js_loss(scores(), labels(), 1), "generalized_js_loss: the label's weight must lie in (0, 1), it is 1",
                       ValueError);
  CHECK_THROWS_WITH_AS(nce_and_rce(scores(), labels(), 11), "robust_losses: the active part's weight must lie in [0, 10], it is 11",
                       ValueError);
  CHECK_THROWS_WITH_AS(weston_watkins_loss(scores(), labels(), -1), "weston_watkins_loss: the margin must not be negative, it is -1",
                       ValueError);
  CHECK_THROWS_WITH_AS(find_robust_loss("gcee"),
                       "robust_losses: there is no loss \"gcee\"; there are ce, crammer-singer, weston-watkins, gce, sce, mae, mse, nce, "
                       "rce, aul, agce, js, rll, "
                       "nce-rce, nce-aul, nce-agce",
                       ValueError);
}

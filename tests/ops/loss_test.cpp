// Losses against plain loops in f64, extreme inputs, reductions and messages.
#include "ops/loss.h"

#include <doctest/doctest.h>

#include <functional>
#include <numbers>

#include "tests/ops/samples.h"

using namespace plumb;
using namespace plumb::test;

namespace {

using Loss = std::function<Tensor(Reduction)>;

// All three reductions of a loss against its values, one an example.
void check(const Loss& loss, const std::vector<double>& expected, const Shape& shape, double tolerance = 1e-12) {
  double total = 0;
  for (double v : expected) total += v;
  CHECK(difference(loss(Reduction::none), from_vector(expected, shape)) < tolerance);
  CHECK(difference(loss(Reduction::sum), scalar_tensor(total, f64)) < tolerance * 4);
  CHECK(difference(loss(Reduction::mean), scalar_tensor(total / static_cast<double>(expected.size()), f64)) < tolerance);
}

// value(x, y) an element.
void check_elements(const std::function<Tensor(const Tensor&, const Tensor&, Reduction)>& loss, double (*value)(double, double),
                    const Tensor& x, const Tensor& y) {
  std::vector<double> a = to_vector(x), b = to_vector(y), out(a.size());
  for (size_t i = 0; i < a.size(); ++i) out[i] = value(a[i], b[i]);
  check([&](Reduction r) { return loss(x, y, r); }, out, x.shape());
  check([&](Reduction r) { return loss(strided(x), y, r); }, out, x.shape());
  Tensor low = loss(to(x, bf16), to(y, bf16), Reduction::none);
  CHECK(low.dtype() == f32);
}

bool all_finite(const Tensor& x) {
  for (double v : to_vector(x))
    if (!std::isfinite(v)) return false;
  return true;
}

double sigma(double x) { return 1 / (1 + std::exp(-x)); }

// Rows of softmax probabilities.
std::vector<std::vector<double>> probabilities(const Tensor& logits) {
  std::vector<double> x = to_vector(logits);
  auto n = static_cast<size_t>(logits.shape().back());
  std::vector<std::vector<double>> rows(x.size() / n, std::vector<double>(n));
  for (size_t r = 0; r < rows.size(); ++r) {
    double z = 0;
    for (size_t c = 0; c < n; ++c) z += std::exp(x[r * n + c]);
    for (size_t c = 0; c < n; ++c) rows[r][c] = std::exp(x[r * n + c]) / z;
  }
  return rows;
}

}  // namespace

TEST_CASE("losses on real numbers: values, reductions and strides") {
  Tensor x = sample({4, 5}, 1, f64, -3, 3), y = sample({4, 5}, 2, f64, -3, 3);
  check_elements([](auto& a, auto& b, Reduction r) { return mse_loss(a, b, r); }, [](double a, double b) { return (a - b) * (a - b); }, x,
                 y);
  check_elements([](auto& a, auto& b, Reduction r) { return l1_loss(a, b, r); }, [](double a, double b) { return std::abs(a - b); }, x, y);
  check_elements([](auto& a, auto& b, Reduction r) { return smooth_l1_loss(a, b, 0.5, r); },
                 [](double a, double b) { return std::abs(a - b) < 0.5 ? (a - b) * (a - b) : std::abs(a - b) - 0.25; }, x, y);
  check_elements([](auto& a, auto& b, Reduction r) { return smooth_l1_loss(a, b, 0, r); },
                 [](double a, double b) { return std::abs(a - b); }, x, y);
  check_elements([](auto& a, auto& b, Reduction r) { return huber_loss(a, b, 2, r); },
                 [](double a, double b) { return std::abs(a - b) < 2 ? (a - b) * (a - b) / 2 : 2 * (std::abs(a - b) - 1); }, x, y);
  check_elements([](auto& a, auto& b, Reduction r) { return pseudo_huber_loss(a, b, 2, r); },
                 [](double a, double b) { return 4 * (std::sqrt(1 + (a - b) * (a - b) / 4) - 1); }, x, y);
  check_elements([](auto& a, auto& b, Reduction r) { return cauchy_loss(a, b, 0.5, r); },
                 [](double a, double b) { return 0.125 * std::log(1 + 4 * (a - b) * (a - b)); }, x, y);
  Tensor counts = tensor({{0.0, 1.0, 2.0, 7.0}}, f64), rates = tensor({{0.5, 1.5, 2.5, 0.1}}, f64);
  check_elements([](auto& a, auto& b, Reduction r) { return poisson_nll_loss(a, b, {.reduction = r}); },
                 [](double a, double t) { return std::exp(a) - t * a; }, rates, counts);
  check_elements([](auto& a, auto& b, Reduction r) { return poisson_nll_loss(a, b, {.log_input = false, .full = true, .reduction = r}); },
                 [](double a, double t) {
                   double stirling = t > 1 ? t * std::log(t) - t + 0.5 * std::log(2 * std::numbers::pi * t) : 0;
                   return a - t * std::log(a + 1e-8) + stirling;
                 },
                 rates, counts);
  check_elements(
      [](auto& a, auto& b, Reduction r) { return gaussian_nll_loss(a, b, scalar_tensor(0.5, f64), {.full = true, .reduction = r}); },
      [](double a, double b) { return 0.5 * (std::log(0.5) + (a - b) * (a - b) / 0.5) + 0.5 * std::log(2 * std::numbers::pi); }, x, y);
}

TEST_CASE("losses on real numbers: large differences and none at all") {
  for (double d : {0.0, 1e4, -1e4}) {
    Tensor x = scalar_tensor(d, f32).requires_grad_(), y = scalar_tensor(0.0, f32);
    for (const Tensor& loss :
         {mse_loss(x, y), l1_loss(x, y), smooth_l1_loss(x, y), huber_loss(x, y), pseudo_huber_loss(x, y), cauchy_loss(x, y)}) {
      CHECK(std::isfinite(loss.item()));
      CHECK(std::isfinite(grad({loss}, {x})[0].item()));
    }
  }
  CHECK(pseudo_huber_loss(scalar_tensor(1e-4, f32), scalar_tensor(0.0, f32)).item() ==
        doctest::Approx(5e-9).epsilon(1e-6));  // √(1 + z) − 1 would give 0
  CHECK(std::isnan(mse_loss(zeros({0}), zeros({0})).item()));
  CHECK(mse_loss(zeros({0}), zeros({0}), Reduction::sum).item() == 0);
}

TEST_CASE("nll_loss: values, weights and ignored rows") {
  Tensor x = sample({2, 2, 3}, 1, f64, -3, 0), target = tensor({{2, 0}, {-100, 1}}), weight = tensor({1.0, 2.0, 4.0}, f64);
  std::vector<double> v = to_vector(x);
  std::vector<double> expected{-4 * v[2], -v[3], 0, -2 * v[10]};
  CHECK(difference(nll_loss(x, target, {.weight = weight, .reduction = Reduction::none}), from_vector(expected, {2, 2})) < 1e-14);
  CHECK(nll_loss(x, target, {.weight = weight}).item() == doctest::Approx((expected[0] + expected[1] + expected[3]) / 7));
  CHECK(nll_loss(x, to(full({2, 2}, -100), i64)).item() == 0);
  CHECK_THROWS_WITH_AS(nll_loss(x, tensor({{2, 0}, {3, 1}})), "nll_loss: index 3 is outside [0, 3)", IndexError);
  CHECK_THROWS_AS(nll_loss(x, tensor({2, 0})), ShapeError);
  CHECK_THROWS_AS(nll_loss(x, zeros({2, 2})), DTypeError);
}

TEST_CASE("focal losses: values; gamma 0 is cross-entropy; extreme logits stay finite") {
  Tensor x = sample({4, 3}, 1), target = tensor({2, 0, 1, 1});
  auto p = probabilities(x);
  std::vector<double> expected;
  const size_t truth[] = {2, 0, 1, 1};
  for (size_t r = 0; r < 4; ++r) expected.push_back(-std::pow(1 - p[r][truth[r]], 1.5) * std::log(p[r][truth[r]]));
  check([&](Reduction r) { return focal_loss(x, target, {.gamma = 1.5, .reduction = r}); }, expected, {4});
  CHECK(focal_loss(x, target, {.gamma = 0}).item() == doctest::Approx(cross_entropy(x, target).item()).epsilon(1e-13));
  Tensor y = tensor({{0.0, 1.0, 1.0}, {1.0, 0.0, 0.0}, {1.0, 1.0, 0.0}, {0.0, 0.0, 1.0}}, f64);
  check_elements([](auto& a, auto& b, Reduction r) { return sigmoid_focal_loss(a, b, {.gamma = 1.5, .alpha = 0.3, .reduction = r}); },
                 [](double z, double t) {
                   return t > 0 ? -0.3 * std::pow(1 - sigma(z), 1.5) * std::log(sigma(z))
                                : -0.7 * std::pow(sigma(z), 1.5) * std::log(1 - sigma(z));
                 },
                 x, y);
  for (double gamma : {0.0, 0.5, 2.0}) {
    Tensor far = tensor({{1e4, -1e4}, {-1e4, 1e4}, {0.0, 0.0}}).requires_grad_();
    Tensor a = focal_loss(far, tensor({0, 0, 1}), {.gamma = gamma}),
           b = sigmoid_focal_loss(far, tensor({{1.0, 0.0}, {1.0, 0.0}, {0.0, 1.0}}), {.gamma = gamma});
    for (const Tensor& loss : {a, b}) {
      CHECK(all_finite(loss));
      CHECK(all_finite(gradients(loss, {far}, false)[0]));
      CHECK(all_finite(gradients(loss, {far}, true)[0]));
    }
  }
}

TEST_CASE("binary cross-entropy: values, weights, small losses and extreme logits") {
  Tensor x = sample({3, 4}, 1, f64, -4, 4), y = sample({3, 4}, 2, f64, 0, 1);
  check_elements([](auto& a, auto& b, Reduction r) { return binary_cross_entropy_with_logits(a, b, {.reduction = r}); },
                 [](double z, double t) { return -t * std::log(sigma(z)) - (1 - t) * std::log(1 - sigma(z)); }, x, y);
  check_elements(
      [](auto& a, auto& b, Reduction r) {
        return binary_cross_entropy_with_logits(a, b, {.weight = scalar_tensor(2.0, f64), .pos_weight = full({4}, 3, f64), .reduction = r});
      },
      [](double z, double t) { return -2 * (3 * t * std::log(sigma(z)) + (1 - t) * std::log(1 - sigma(z))); }, x, y);
  Tensor q = sample({3, 4}, 3, f64, 0.01, 0.99);
  check_elements([](auto& a, auto& b, Reduction r) { return binary_cross_entropy(a, b, {.reduction = r}); },
                 [](double p, double t) { return -t * std::log(p) - (1 - t) * std::log(1 - p); }, q, y);
  Tensor far = tensor({1e4, -1e4, 50.0, -50.0, 0.0}).requires_grad_(), truth = tensor({1.0, 1.0, 1.0, 0.0, 1.0});
  Tensor loss = binary_cross_entropy_with_logits(far, truth, {.reduction = Reduction::none});
  CHECK(difference(loss * 1e20, tensor({0.0, 1e24, std::exp(-50.0) * 1e20, std::exp(-50.0) * 1e20, std::log(2.0) * 1e20}, f64)) < 1e-5);
  CHECK(difference(grad({loss}, {far}, {}, {ones({5})})[0], tensor({0.0, -1.0, 0.0, 0.0, -0.5})) < 1e-6);
  Tensor sure = tensor({0.0, 1.0, 0.0, 1.0}).requires_grad_();
  Tensor bounded = binary_cross_entropy(sure, tensor({0.0, 1.0, 1.0, 0.0}), {.reduction = Reduction::none});
  CHECK(difference(bounded, tensor({0.0, 0.0, 100.0, 100.0})) < 1e-5);
  CHECK(all_finite(gradients(bounded, {sure}, false)[0]));
}

TEST_CASE("hinge losses: values") {
  Tensor x = sample({3, 4}, 1), y = tensor({{1.0, -1.0, 1.0, 1.0}, {-1.0, -1.0, 1.0, -1.0}, {1.0, 1.0, -1.0, -1.0}}, f64);
  check_elements([](auto& a, auto& b, Reduction r) { return hinge_loss(a, b, {.reduction = r}); },
                 [](double z, double t) { return std::max(0.0, 1 - t * z); }, x, y);
  check_elements([](auto& a, auto& b, Reduction r) { return hinge_loss(a, b, {.margin = 0.5, .squared = true, .reduction = r}); },
                 [](double z, double t) { return std::pow(std::max(0.0, 0.5 - t * z), 2); }, x, y);
  std::vector<double> v = to_vector(x);
  const size_t truth[] = {3, 0, 1};
  for (int p : {1, 2}) {
    std::vector<double> expected(3);
    for (size_t r = 0; r < 3; ++r)
      for (size_t c = 0; c < 4; ++c)
        if (c != truth[r]) expected[r] += std::pow(std::max(0.0, 0.7 - v[r * 4 + truth[r]] + v[r * 4 + c]), p) / 4;
    check([&](Reduction r) { return multi_margin_loss(x, tensor({3, 0, 1}), {.margin = 0.7, .p = p, .reduction = r}); }, expected, {3});
  }
}

TEST_CASE("kl_div and js_divergence: values, zeros, symmetry, extreme logits") {
  Tensor a = sample({3, 4}, 1), b = sample({3, 4}, 2);
  auto p = probabilities(a), q = probabilities(b);
  std::vector<double> kl(3), js(3), flat;
  for (size_t r = 0; r < 3; ++r)
    for (size_t c = 0; c < 4; ++c) {
      double m = (p[r][c] + q[r][c]) / 2;
      kl[r] += q[r][c] * std::log(q[r][c] / p[r][c]);
      js[r] += (p[r][c] * std::log(p[r][c] / m) + q[r][c] * std::log(q[r][c] / m)) / 2;
      flat.push_back(q[r][c]);
    }
  Tensor target = from_vector(flat, {3, 4});
  check([&](Reduction r) { return kl_div(a, target, {.logits = true, .reduction = r}); }, kl, {3});
  check([&](Reduction r) { return kl_div(a, log(target), {.logits = true, .log_target = true, .reduction = r}); }, kl, {3});
  check([&](Reduction r) { return js_divergence(a, b, {.logits = true, .reduction = r}); }, js, {3});
  CHECK(js_divergence(b, a, {.logits = true}).item() == doctest::Approx(js_divergence(a, b, {.logits = true}).item()));
  CHECK(kl_div(log(tensor({0.5, 0.5}, f64)), tensor({1.0, 0.0}, f64)).item() == doctest::Approx(std::numbers::ln2));
  Tensor far = tensor({{1e4, -1e4}}).requires_grad_(), other = tensor({{-1e4, 1e4}});
  Tensor loss = js_divergence(far, other, {.logits = true});
  CHECK(loss.item() == doctest::Approx(std::numbers::ln2));
  CHECK(all_finite(gradients(loss, {far}, false)[0]));
}

TEST_CASE("cosine losses, triplets: values and vectors of zeros") {
  Tensor a = sample({3, 4}, 1), b = sample({3, 4}, 2), n = sample({3, 4}, 3);
  std::vector<double> u = to_vector(a), v = to_vector(b), w = to_vector(n), cosine(3), embedding(3), triplet(3), swapped(3);
  const double sign[] = {1, -1, -1};
  for (size_t r = 0; r < 3; ++r) {
    double ab = 0, aa = 0, bb = 0, positive = 0, negative = 0, between = 0;
    for (size_t c = 4 * r; c < 4 * r + 4; ++c) {
      ab += u[c] * v[c];
      aa += u[c] * u[c];
      bb += v[c] * v[c];
      positive += std::pow(u[c] - v[c] + 1e-6, 2);
      negative += std::pow(u[c] - w[c] + 1e-6, 2);
      between += std::pow(v[c] - w[c] + 1e-6, 2);
    }
    cosine[r] = ab / std::sqrt(aa * bb);
    embedding[r] = sign[r] > 0 ? 1 - cosine[r] : std::max(0.0, cosine[r] + 0.5);
    triplet[r] = std::max(0.0, std::sqrt(positive) - std::sqrt(negative) + 2);
    swapped[r] = std::max(0.0, std::sqrt(positive) - std::sqrt(std::min(negative, between)) + 2);
  }
  CHECK(difference(cosine_similarity(a, b), from_vector(cosine)) < 1e-14);
  CHECK(difference(cosine_similarity(mT(a), mT(b), 0), from_vector(cosine)) < 1e-14);
  CHECK(cosine_similarity(zeros({2, 3}), ones({3})).shape() == Shape{2});
  check([&](Reduction r) { return cosine_embedding_loss(a, b, tensor({1, -1, -1}), {.margin = -0.5, .reduction = r}); }, embedding, {3});
  check([&](Reduction r) { return triplet_margin_loss(a, b, n, {.margin = 2, .reduction = r}); }, triplet, {3});
  check([&](Reduction r) { return triplet_margin_loss(a, b, n, {.margin = 2, .swap = true, .reduction = r}); }, swapped, {3});
  Tensor zero = zeros({2, 3}).requires_grad_();
  CHECK(all_finite(gradients(cosine_similarity(zero, ones({2, 3})), {zero}, false)[0]));
}

TEST_CASE("info_nce: values with and without directions, symmetric, with further negatives") {
  Tensor q = sample({3, 4}, 1), k = sample({3, 4}, 2), more = sample({2, 4}, 3);
  auto unit = [](const Tensor& x) {
    std::vector<double> v = to_vector(x);
    for (size_t r = 0; r < v.size() / 4; ++r) {
      double n = 0;
      for (size_t c = 0; c < 4; ++c) n += v[4 * r + c] * v[4 * r + c];
      for (size_t c = 0; c < 4; ++c) v[4 * r + c] /= std::sqrt(n);
    }
    return v;
  };
  auto expected = [](const std::vector<double>& a, std::vector<double> b, double tau) {
    std::vector<double> out(3);
    for (size_t i = 0; i < 3; ++i) {
      double z = 0, own = 0;
      for (size_t j = 0; j < b.size() / 4; ++j) {
        double s = 0;
        for (size_t c = 0; c < 4; ++c) s += a[4 * i + c] * b[4 * j + c] / tau;
        z += std::exp(s);
        if (j == i) own = s;
      }
      out[i] = std::log(z) - own;
    }
    return out;
  };
  check([&](Reduction r) { return info_nce(q, k, {.temperature = 0.5, .reduction = r}); }, expected(unit(q), unit(k), 0.5), {3});
  check([&](Reduction r) { return info_nce(q, k, {.temperature = 2, .normalize = false, .reduction = r}); },
        expected(to_vector(q), to_vector(k), 2), {3});
  auto there = expected(unit(q), unit(k), 0.1), back = expected(unit(k), unit(q), 0.1);
  for (size_t i = 0; i < 3; ++i) there[i] = (there[i] + back[i]) / 2;
  check([&](Reduction r) { return info_nce(q, k, {.symmetric = true, .reduction = r}); }, there, {3});
  auto all = unit(k), others = unit(more);
  all.insert(all.end(), others.begin(), others.end());
  check([&](Reduction r) { return info_nce(q, k, {.temperature = 1, .negatives = more, .reduction = r}); }, expected(unit(q), all, 1), {3});
}

TEST_CASE("losses: bad input is named") {
  Tensor x = zeros({2, 3});
  CHECK_THROWS_WITH_AS(mse_loss(zeros({3, 1}), zeros({3})), "mse_loss: the prediction is [3, 1], the target [3]", ShapeError);
  CHECK_THROWS_WITH_AS(huber_loss(x, x, 0), "huber_loss: delta must be positive, it is 0", ValueError);
  CHECK_THROWS_WITH_AS(smooth_l1_loss(x, x, -1), "smooth_l1_loss: beta must not be negative, it is -1", ValueError);
  CHECK_THROWS_WITH_AS(binary_cross_entropy(x + 1.5, x), "binary_cross_entropy: probability 1.5 is outside [0, 1]", ValueError);
  CHECK_THROWS_WITH_AS(binary_cross_entropy_with_logits(x, x - 1), "binary_cross_entropy_with_logits: target -1 is outside [0, 1]",
                       ValueError);
  Tensor many = zeros({7, 9000}), late = zeros({7, 9000});  // in parts of several threads, and with strides: the first refused is named
  late.data<float>()[7 * 9000 - 2] = 3;
  late.data<float>()[7 * 9000 - 1] = 2;
  CHECK_THROWS_WITH_AS(binary_cross_entropy_with_logits(many, late), "binary_cross_entropy_with_logits: target 3 is outside [0, 1]",
                       ValueError);
  CHECK_THROWS_WITH_AS(binary_cross_entropy_with_logits(transpose(many, 0, 1), transpose(late, 0, 1)),
                       "binary_cross_entropy_with_logits: target 3 is outside [0, 1]", ValueError);
  CHECK_THROWS_WITH_AS(hinge_loss(x, x), "hinge_loss: target 0 is neither 1 nor -1", ValueError);
  CHECK_THROWS_WITH_AS(multi_margin_loss(x, tensor({0, 3})), "multi_margin_loss: index 3 is outside [0, 3)", IndexError);
  CHECK_THROWS_WITH_AS(multi_margin_loss(x, tensor({0, -1})), "multi_margin_loss: index -1 is outside [0, 3)", IndexError);
  CHECK_THROWS_WITH_AS(focal_loss(x, tensor({0, 1}), {.gamma = -1}), "focal_loss: gamma must not be negative, it is -1", ValueError);
  CHECK_THROWS_WITH_AS(gaussian_nll_loss(x, x, x - 1), "gaussian_nll_loss: variance -1 is negative", ValueError);
  CHECK_THROWS_WITH_AS(info_nce(x, x, {.temperature = 0}), "info_nce: temperature must be positive, it is 0", ValueError);
  CHECK_THROWS_WITH_AS(info_nce(zeros({3}), zeros({3})), "info_nce: queries and keys must be [batch, n], they are [3]", ShapeError);
  CHECK_THROWS_AS(cosine_embedding_loss(x, x, tensor({1})), ShapeError);
}

TEST_CASE("losses: what has no probability counts nothing") {
  Tensor certain = log(tensor({1., 0.}, f64)), other = log(tensor({0., 1.}, f64));
  CHECK(js_divergence(certain, other).item() == doctest::Approx(std::numbers::ln2));
  CHECK(js_divergence(certain, certain).item() == 0);
  CHECK(kl_div(certain, tensor({1., 0.}, f64)).item() == 0);
  CHECK(kl_div(certain, certain, {.log_target = true}).item() == 0);
  CHECK(kl_div(certain, tensor({0.5, 0.5}, f64)).item() == INFINITY);
  Tensor q = certain.requires_grad_();
  kl_div(q, tensor({1., 0.}, f64)).backward();
  CHECK(to_vector(q.grad()) == std::vector<double>{-1, 0});
}

TEST_CASE("nll_loss: what counts nothing may be impossible") {
  Tensor log_p = tensor({{-INFINITY, 0.0}, {-0.5, -1.0}});
  CHECK(nll_loss(log_p, tensor({-100, 0})).item() == doctest::Approx(0.5));
  CHECK(nll_loss(log_p, tensor({0, 1}), {.weight = tensor({0.0, 1.0})}).item() == doctest::Approx(1));
}

TEST_CASE("sigmoid_focal_loss: with alpha 0 positives count nothing, below 0 all count alike") {
  Tensor x = tensor({0.5, 0.5}), y = tensor({1.0, 0.0});
  auto losses = [&](double alpha) { return to_vector(sigmoid_focal_loss(x, y, {.alpha = alpha, .reduction = Reduction::none})); };
  std::vector<double> none = losses(0), all = losses(-1);
  CHECK(none[0] == 0);
  CHECK(none[1] == all[1]);
  CHECK(all[0] > 0);
}

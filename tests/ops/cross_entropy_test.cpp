// Cross-entropy against plain loops in f64.
#include <doctest/doctest.h>

#include "engine/core/parallel.h"
#include "ops/loss.h"
#include "tests/ops/samples.h"

using namespace plumb;
using namespace plumb::test;

namespace {

// −Σ_c q_c log p_c a row; the divisor of the mean comes second.
std::pair<std::vector<double>, double> reference(const Tensor& logits, const std::vector<int64_t>& target,
                                                 const std::vector<double>& weight, int64_t ignore, double smoothing) {
  std::vector<double> x = to_vector(logits), losses;
  size_t n = static_cast<size_t>(logits.shape().back());
  double divisor = 0;
  for (size_t r = 0; r < target.size(); ++r) {
    double top = -INFINITY, z = 0, loss = 0;
    for (size_t c = 0; c < n; ++c) top = std::max(top, x[r * n + c]);
    for (size_t c = 0; c < n; ++c) z += std::exp(x[r * n + c] - top);
    for (size_t c = 0; c < n; ++c) {
      double q = smoothing / static_cast<double>(n) + (static_cast<int64_t>(c) == target[r] ? 1 - smoothing : 0);
      loss -= q * weight[c] * (x[r * n + c] - top - std::log(z));
    }
    losses.push_back(target[r] == ignore ? 0 : loss);
    if (target[r] != ignore) divisor += weight[static_cast<size_t>(target[r])];
  }
  return {losses, divisor};
}

}  // namespace

TEST_CASE("cross_entropy: values for weights, smoothing and ignored rows, in every type") {
  const std::vector<int64_t> target{2, 0, 4, -100, 1, 4};
  const std::vector<double> weight{0.5, 2, 1, 3, 0.25}, ones_weight(5, 1);
  for (DType t : {f64, f32, bf16, f16})
    for (double smoothing : {0.0, 0.1, 1.0})
      for (bool weighted : {false, true}) {
        Tensor logits = sample({6, 5}, 3, t, -4, 4);
        auto [losses, divisor] = reference(logits, target, weighted ? weight : ones_weight, -100, smoothing);
        CrossEntropyOptions o{.label_smoothing = smoothing};
        if (weighted) o.weight = from_vector(weight);
        double total = 0, tolerance = t == f64 ? 1e-13 : 2e-6;
        for (double l : losses) total += l;
        CAPTURE(smoothing);
        CHECK(difference(cross_entropy(logits, from_vector(target), o), scalar_tensor(total / divisor, f64)) < tolerance);
        o.reduction = Reduction::sum;
        CHECK(difference(cross_entropy(strided(logits), to(from_vector(target), i32), o), scalar_tensor(total, f64)) < tolerance);
        o.reduction = Reduction::none;
        Tensor each = cross_entropy(reshape(logits, {2, 3, 5}), reshape(from_vector(target), {2, 3}), o);
        CHECK(difference(each, from_vector(losses, {2, 3})) < tolerance);
        CHECK(each.dtype() == (t == f64 ? f64 : f32));
      }
}

TEST_CASE("cross_entropy: derivatives to second order") {
  Tensor x = sample({4, 5}, 1), target = tensor({2, 0, -100, 4}), weight = sample({5}, 2, f64, 0.5, 2);
  for (Reduction r : {Reduction::none, Reduction::mean, Reduction::sum})
    for (double smoothing : {0.0, 0.2})
      for (bool weighted : {false, true}) {
        CrossEntropyOptions o{.weight = weighted ? weight : Tensor(), .label_smoothing = smoothing, .reduction = r};
        CHECK(derivative_error([&](const Tensor& v) { return cross_entropy(v, target, o); }, x) < 1e-7);
        Tensor q = sample({4, 5}, 5, f64, 0, 1);
        CHECK(derivative_error([&](const Tensor& v) { return cross_entropy(v, q, o); }, x) < 1e-7);
        CHECK(derivative_error([&](const Tensor& v) { return cross_entropy(x, v, o); }, q) < 1e-7);
      }
}

TEST_CASE("cross_entropy: one-hot probabilities give what class numbers give") {
  Tensor x = sample({3, 4}, 1), q = tensor({{0.0, 1.0, 0.0, 0.0}, {0.0, 0.0, 0.0, 1.0}, {1.0, 0.0, 0.0, 0.0}}, f64);
  for (double smoothing : {0.0, 0.3})
    CHECK(cross_entropy(x, q, {.label_smoothing = smoothing}).item() ==
          doctest::Approx(cross_entropy(x, tensor({1, 3, 0}), {.label_smoothing = smoothing}).item()).epsilon(1e-13));
}

TEST_CASE("cross_entropy: logits of ±1e4 and −inf lose nothing") {
  Tensor x = tensor({{1e4, -1e4, 0.0}, {-1e4, -1e4, -1e4 + 1}, {-INFINITY, 2.0, 2.0}}).requires_grad_();
  Tensor loss = cross_entropy(x, tensor({1, 2, 1}), {.reduction = Reduction::none});
  CHECK(difference(loss, tensor({2e4, std::log(1 + 2 * std::exp(-1.0)), std::log(2.0)}, f64)) < 1e-6);
  Tensor dx = grad({loss}, {x}, {}, {ones({3})})[0];
  double p = std::exp(1) / (std::exp(1) + 2), q = 1 / (std::exp(1) + 2);
  CHECK(difference(dx, tensor({{1.0, -1.0, 0.0}, {q, q, p - 1}, {0.0, -0.5, 0.5}}, f64)) < 1e-6);
  CHECK(cross_entropy(tensor({{-INFINITY, -INFINITY}}), tensor({0})).item() == INFINITY);
}

TEST_CASE("cross_entropy: everything ignored is 0 with gradient 0; no rows likewise") {
  Tensor x = sample({2, 3}, 1, f32).requires_grad_();
  Tensor loss = cross_entropy(x, tensor({7, 7}), {.ignore_index = 7});
  CHECK(loss.item() == 0);
  loss.backward();
  CHECK(to_vector(x.grad()) == std::vector<double>(6, 0));
  CHECK(cross_entropy(zeros({0, 3}), zeros({0}, i64)).item() == 0);
}

TEST_CASE("cross_entropy: an ignored class inside the range gets no weight") {
  Tensor x = sample({3, 4}, 1);
  auto [losses, divisor] = reference(x, {1, 2, 1}, {1, 1, 1, 1}, 2, 0.1);
  CHECK(cross_entropy(x, tensor({1, 2, 1}), {.ignore_index = 2, .label_smoothing = 0.1}).item() ==
        doctest::Approx((losses[0] + losses[2]) / divisor).epsilon(1e-12));
  CHECK(derivative_error(
            [&](const Tensor& v) {
              return cross_entropy(v, tensor({1, 2, 1}), {.ignore_index = 2, .label_smoothing = 0.1});
            },
            x) < 1e-7);
}

TEST_CASE("cross_entropy: the fused gradient equals the formula's in every type, with any number of threads") {
  int before = num_threads();
  std::vector<int64_t> target(300);
  Generator g(1);
  for (int64_t& t : target) t = static_cast<int64_t>(g.next_below(65));
  for (DType t : {f32, bf16, f16}) {
    Tensor x = sample({300, 65}, 1, t).requires_grad_(), first;
    for (int threads : {1, 2, 3}) {
      set_num_threads(threads);
      Tensor y = cross_entropy(x, from_vector(target), {.reduction = Reduction::sum});
      Tensor dx = gradients(y, {x}, false)[0];
      if (!first.defined()) first = dx;
      CHECK(same_bits(dx, first));
      CHECK(difference(dx, gradients(y, {x}, true)[0]) < (t == f32 ? 1e-6 : t == bf16 ? 0.01 : 0.001));
    }
  }
  set_num_threads(before);
}

TEST_CASE("cross_entropy: bad input is named") {
  Tensor x = zeros({2, 3});
  CHECK_THROWS_WITH_AS(cross_entropy(x, tensor({0, 3})), "cross_entropy: target 3 is outside [0, 3)", IndexError);
  CHECK_THROWS_WITH_AS(cross_entropy(x, tensor({-1, 0})), "cross_entropy: target -1 is outside [0, 3)", IndexError);
  CHECK_THROWS_WITH_AS(cross_entropy(x, tensor({0, 1}), {.label_smoothing = 1.5}),
                       "cross_entropy: label_smoothing must be in [0, 1], it is 1.5", ValueError);
  CHECK_THROWS_WITH_AS(cross_entropy(x, tensor({0, 1}), {.weight = ones({2})}),
                       "cross_entropy: the weight must be [3], one number a class; it is [2]", ShapeError);
  CHECK_THROWS_AS(cross_entropy(x, tensor({0, 1, 2})), ShapeError);
  CHECK_THROWS_AS(cross_entropy(x, ones({2, 2})), ShapeError);
}

TEST_CASE("cross_entropy: a row of -inf has an infinite loss and a finite gradient") {
  Tensor x = full({2, 3}, -INFINITY).requires_grad_();
  Tensor loss = cross_entropy(x, tensor({0, 2}), {.reduction = Reduction::sum});
  CHECK(loss.item() == INFINITY);
  loss.backward();
  CHECK(to_vector(x.grad()) == std::vector<double>{-1, 0, 0, 0, 0, -1});
}

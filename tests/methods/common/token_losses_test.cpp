// Losses over tokens against plain loops, and what padding does to them.
#include "methods/common/token_losses.h"

#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "engine/autograd/backward.h"
#include "engine/core/generator.h"
#include "ops/elementary.h"
#include "ops/gradcheck.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"

using namespace plumb;
using namespace plumb::methods;
using doctest::Approx;

namespace {

struct Drawn {
  Tensor z1, z2, target, mask;
};
Drawn drawn() {
  manual_seed(21);
  return {randn({2, 3, 5}, {.dtype = f64}) * 2, randn({2, 3, 5}, {.dtype = f64}), randint(0, 5, {2, 3}),
          tensor({{true, false, true}, {true, true, false}})};
}

// p of each token that counts, by the definition.
std::vector<std::vector<double>> probabilities(const Tensor& logits, const Tensor& mask) {
  std::vector<double> z = to_vector(logits);
  std::vector<bool> counts = to_vector<bool>(mask);
  std::vector<std::vector<double>> rows;
  for (size_t t = 0; t < counts.size(); ++t) {
    if (!counts[t]) continue;
    std::vector<double> p(z.begin() + static_cast<long>(5 * t), z.begin() + static_cast<long>(5 * t + 5));
    double total = 0;
    for (double& v : p) total += v = std::exp(v);
    for (double& v : p) v /= total;
    rows.push_back(p);
  }
  return rows;
}

}  // namespace

TEST_CASE("token losses: divergences, entropy and smoothed cross-entropy are their definitions over the tokens that count") {
  Drawn d = drawn();
  auto p = probabilities(d.z1, d.mask), q = probabilities(d.z2, d.mask);
  REQUIRE(p.size() == 4);
  std::vector<int64_t> all = to_vector<int64_t>(d.target), target{all[0], all[2], all[3], all[4]};
  double symmetric = 0, kl = 0, negative = 0, smoothed = 0;
  for (size_t t = 0; t < 4; ++t)
    for (size_t v = 0; v < 5; ++v) {
      symmetric += 0.5 * (p[t][v] * std::log(p[t][v] / q[t][v]) + q[t][v] * std::log(q[t][v] / p[t][v]));
      kl += q[t][v] * std::log(q[t][v] / p[t][v]) / 4;
      negative += p[t][v] * std::log(p[t][v]) / 4;
      smoothed -= std::log(p[t][v]) * (static_cast<int64_t>(v) == target[t] ? 1 - 0.2 : 0.2 / 4);
    }
  CHECK(symmetric_kl(d.z1, d.z2, d.mask).item() == Approx(symmetric).epsilon(1e-12));
  CHECK(symmetric_kl(d.z1, d.z2, d.mask, Reduction::mean).item() == Approx(symmetric / 4).epsilon(1e-12));
  CHECK(consistency_kl(d.z1, d.z2, d.mask).item() == Approx(kl).epsilon(1e-12));
  CHECK(negative_entropy(d.z1, d.mask).item() == Approx(negative).epsilon(1e-12));
  CHECK(label_smoothed_cross_entropy(d.z1, d.target, d.mask, 0.2).item() == Approx(smoothed).epsilon(1e-12));
}

TEST_CASE("token losses: gradients are the slopes of the values; padding gets none, and no target of a consistency does") {
  Drawn d = drawn();
  for (auto loss :
       {+[](const Drawn& x) { return symmetric_kl(x.z1, x.z2, x.mask); },
        +[](const Drawn& x) { return consistency_kl(x.z1, x.z2, x.mask); }, +[](const Drawn& x) { return negative_entropy(x.z1, x.mask); },
        +[](const Drawn& x) { return label_smoothed_cross_entropy(x.z1, x.target, x.mask); }}) {
    GradcheckResult result = gradcheck(
        [&](const std::vector<Tensor>& x) {
          return std::vector<Tensor>{loss({x[0], d.z2, d.target, d.mask})};
        },
        {clone(d.z1).requires_grad_()});
    CHECK_MESSAGE(result.passed, result.message);
    Tensor z1 = clone(d.z1).requires_grad_();
    Tensor g = grad({loss({z1, d.z2, d.target, d.mask})}, {z1})[0];
    CHECK(sum(abs(select(select(g, 0, 0), 0, 1))).item() == 0);
    CHECK(sum(abs(select(select(g, 0, 0), 0, 0))).item() > 0);
  }
  Tensor z1 = clone(d.z1).requires_grad_(), z2 = clone(d.z2).requires_grad_();
  consistency_kl(z1, z2).backward();
  CHECK(z1.grad().defined());
  CHECK_FALSE(z2.grad().defined());
}

TEST_CASE("token losses: logits of 16 bits are taken as f32, and of huge ones nothing overflows") {
  Drawn d = drawn();
  Tensor coarse = to(d.z1, bf16), same = to(coarse, f64);
  CHECK(symmetric_kl(coarse, coarse * 0.5).dtype() == f32);
  CHECK(negative_entropy(coarse).item() == Approx(negative_entropy(same).item()).epsilon(1e-6));
  Tensor huge = tensor({{1000.0, -1000.0, 0.0}}), other = tensor({{-1000.0, 1000.0, 0.0}});
  CHECK(symmetric_kl(huge, other).item() == Approx(2000));
  CHECK(negative_entropy(huge).item() == 0);
  CHECK(consistency_kl(huge, other).item() == Approx(2000));
}

TEST_CASE("token losses: without a dimension of tokens, or without tokens, there is nothing to sum") {
  CHECK_THROWS_WITH_AS(negative_entropy(ones({3})), "negative_entropy: takes logits [.., V] of tokens, got [3]", ShapeError);
  CHECK_THROWS_WITH_AS(negative_entropy(ones({0, 3})), "negative_entropy: no token counts: all are padding", ValueError);
}

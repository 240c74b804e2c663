// Preference pairs: one noise for both samples, ties and flips, errors of every kind of prediction, and Diffusion-DPO.
#include "models/diffusion/preference.h"

#include <doctest/doctest.h>

#include <cmath>


#include "models/diffusion/vector_ddpm.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/shape.h"
#include "tests/ops/samples.h"

using namespace plumb;
using namespace plumb::diffusion;

namespace {

PreferencePairs pairs_of(const Tensor& preferred, const Tensor& rejected) { return {preferred, rejected, {}}; }

}  // namespace

TEST_CASE("preference_pairs: the preferred come first, ties are left out, flip turns all round") {
  Tensor first = tensor({{1.0}, {2.0}, {3.0}}), second = tensor({{-1.0}, {-2.0}, {-3.0}}), said = tensor({1.0, 0.5, 0.0});
  Tensor label = tensor({7, 8, 9});
  PreferencePairs pairs = preference_pairs(first, second, said, label);
  CHECK(to_vector(pairs.preferred) == std::vector<double>{1, -3});
  CHECK(to_vector(pairs.rejected) == std::vector<double>{-1, 3});
  CHECK(to_vector(pairs.condition) == std::vector<double>{7, 9});
  PreferencePairs turned = preference_pairs(first, second, said, label, 1);
  CHECK(to_vector(turned.preferred) == std::vector<double>{-1, 3});
  CHECK(to_vector(pairs.at(tensor({1})).condition) == std::vector<double>{9});
  Generator g(4);
  Tensor many = preference_pairs(zeros({4000, 1}), ones({4000, 1}), ones({4000}), {}, 0.25, g).preferred;
  double flipped = sum(many).item() / 4000;  // deviation 0.0068
  CHECK(flipped == doctest::Approx(0.25).epsilon(0.12));
  CHECK_THROWS_WITH_AS(preference_pairs(first, second, tensor({0.5, 0.5, 0.5})), "preference_pairs: no pair is left: all 3 are ties",
                       ValueError);
  CHECK_THROWS_WITH_AS(preference_pairs(first, second, tensor({0.3, 1.0, 1.0})),
                       "preference_pairs: a preference is 0, 0.5 or 1, one is 0.3", ValueError);
  CHECK_THROWS_WITH_AS(preference_pairs(first, second, said, {}, 2), "preference_pairs: flip must lie in [0, 1], it is 2",
                       ValueError);
  CHECK_THROWS_WITH_AS(preference_pairs(first, zeros({3, 2}), said),
                       "preference_pairs: takes two [B, ..] of one shape, got [3, 1] and [3, 2]", ShapeError);
  CHECK_THROWS_WITH_AS(preference_pairs(first, second, said, tensor({1})), "preference_pairs: conditions [1] for 3 pairs", ShapeError);
}

TEST_CASE("pair_errors: the mean squared error of each sample, one call with the preferred first, for every kind of prediction") {
  VpSchedule schedule = VpSchedule::linear(10, 0.05, 0.3);
  Tensor w = test::sample({3, 4}, 1), l = test::sample({3, 4}, 2);
  PairNoise drawn{test::sample({3, 4}, 3), tensor({0, 4, 9})};
  Tensor seen, seen_time;
  TimedNetwork half = [&](const Tensor& x, const Tensor& t, const Tensor&) {
    seen = x, seen_time = t;
    return x * 0.5;
  };
  std::vector<double> xw = to_vector(w), xl = to_vector(l), z = to_vector(drawn.noise);
  for (Prediction kind : {Prediction::eps, Prediction::x0, Prediction::v}) {
    PairErrors e = pair_errors(half, schedule, kind, pairs_of(w, l), drawn);
    CHECK(seen.shape() == Shape{6, 4});
    CHECK(to_vector(seen_time) == std::vector<double>{0, 4, 9, 0, 4, 9});
    for (size_t b = 0; b < 3; ++b)
      for (int side = 0; side < 2; ++side) {
        auto a = static_cast<double>(static_cast<float>(schedule.alpha_bar(b == 0 ? 0 : b == 1 ? 4 : 9)));
        double error = 0;
        for (size_t k = 4 * b; k < 4 * b + 4; ++k) {
          double x = side ? xl[k] : xw[k], noisy = std::sqrt(a) * x + std::sqrt(1 - a) * z[k];
          double target = kind == Prediction::eps ? z[k] : kind == Prediction::x0 ? x : std::sqrt(a) * z[k] - std::sqrt(1 - a) * x;
          error += (0.5 * noisy - target) * (0.5 * noisy - target) / 4;
        }
        CHECK(to_vector(side ? e.rejected : e.preferred)[b] == doctest::Approx(error).epsilon(1e-12));
      }
  }
  CHECK_THROWS_WITH_AS(pair_errors(half, schedule, Prediction::eps, pairs_of(w, l), {drawn.noise, tensor({1})}),
                       "pair_errors: noise [3, 4] and times [1] for samples [3, 4]", ShapeError);
  TimedNetwork narrow_one = [](const Tensor& x, const Tensor&, const Tensor&) { return slice(x, 1, 0, 2); };
  CHECK_THROWS_WITH_AS(pair_errors(narrow_one, schedule, Prediction::eps, pairs_of(w, l), drawn),
                       "pair_errors: the network answers [6, 2] to [6, 4]", ShapeError);
}

TEST_CASE("pair_errors: equal samples have bit-equal errors, since noise and time are one for the pair") {
  manual_seed(3);
  VectorDdpm model({.features = 6, .classes = 3, .hidden = {8}}, VpSchedule::linear(50, 1e-3, 0.1));
  Tensor x = randn({16, 6});
  PreferencePairs pairs{x, x, randint(0, 3, {16})};
  TimedNetwork network = [&](const Tensor& y, const Tensor& t, const Tensor& c) { return model(y, t, c); };
  for (int i = 0; i < 5; ++i) {
    PairErrors e = pair_errors(network, model.schedule(), Prediction::eps, pairs, shared_noise(pairs, model.schedule()));
    CHECK(test::same_bits(e.preferred, e.rejected));
  }
  Tensor half = to(x, f16);
  PairErrors e = pair_errors([](const Tensor& y, const Tensor&, const Tensor&) { return y; }, model.schedule(), Prediction::eps,
                             {half, half, {}}, {to(randn({16, 6}), f16), randint(0, 50, {16})});
  CHECK(e.preferred.dtype() == f32);
}

TEST_CASE("diffusion_dpo_loss: the worked values, and no gradient to the reference") {
  Tensor w = tensor({0.2}, f64).requires_grad_(), l = tensor({0.3}, f64).requires_grad_();
  Tensor rw = tensor({0.2002}, f64).requires_grad_(), rl = tensor({0.2998}, f64).requires_grad_();
  Tensor loss = diffusion_dpo_loss({w, l}, {rw, rl}, 5000);
  CHECK(loss.item() == doctest::Approx(0.313262).epsilon(1e-5));  // −log σ(1)
  loss.backward();
  double slope = 2500 / (1 + std::exp(1.0));
  CHECK(w.grad().item() == doctest::Approx(slope).epsilon(1e-9));
  CHECK(l.grad().item() == doctest::Approx(-slope).epsilon(1e-9));
  CHECK_FALSE(rw.grad().defined());
  CHECK(diffusion_dpo_loss({w, l}, {w, l}, 5000).item() == doctest::Approx(0.693147).epsilon(1e-6));
  CHECK(preference_accuracy({tensor({0.1, 0.5}), tensor({0.2, 0.4})}) == 0.5);
  CHECK_THROWS_WITH_AS(diffusion_dpo_loss({w, l}, {rw, rl}, 0), "diffusion_dpo_loss: beta must be positive and finite, it is 0",
                       ValueError);
  CHECK_THROWS_WITH_AS(diffusion_dpo_loss({w, tensor({0.1, 0.2})}, {rw, rl}),
                       "diffusion_dpo_loss: takes errors [B] of preferred and rejected samples, got [1] and [2]", ShapeError);
}

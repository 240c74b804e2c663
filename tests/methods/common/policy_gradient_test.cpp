// Policy gradients: the clipped loss and where its gradient is, REBEL, advantages per key, and rewards of images.
#include "methods/common/policy_gradient.h"

#include <doctest/doctest.h>

#include <cmath>

#include "methods/common/image_rewards.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "tests/ops/samples.h"

using namespace plumb;
using namespace plumb::methods;

TEST_CASE("ppo_clip_loss: the worked values, and a gradient only where the ratio may still move") {
  struct Case {
    double advantage, change, loss;
    bool moves;
  };
  for (auto [advantage, change, loss, moves] :
       {Case{1.5, 2e-4, -1.50015, false}, {1.5, -2e-4, -1.49970, true}, {-1.5, 2e-4, 1.50030, true}, {-1.5, -2e-4, 1.49985, false}}) {
    CAPTURE(advantage);
    CAPTURE(change);
    Tensor old = tensor({-1.2}, f64), now = (old + change).detach().requires_grad_();
    Tensor got = ppo_clip_loss(now, old, tensor({advantage}, f64), 1e-4);
    CHECK(got.item() == doctest::Approx(loss).epsilon(1e-6));
    got.backward();
    if (moves)
      CHECK(now.grad().item() == doctest::Approx(-advantage * std::exp(change)).epsilon(1e-9));
    else
      CHECK(now.grad().item() == 0);
  }
  CHECK_THROWS_WITH_AS(ppo_clip_loss(zeros({2}), zeros({2}), zeros({2}), 0), "ppo_clip_loss: epsilon must be positive, it is 0",
                       ValueError);
  CHECK_THROWS_WITH_AS(ppo_clip_loss(zeros({2}), zeros({3}), zeros({2}), 0.1),
                       "ppo_clip_loss: takes one number an example, got [2] and [3]", ShapeError);
}

TEST_CASE("rebel_loss: squared differences over pairs, and its slope") {
  Tensor r1 = tensor({0.2, -0.1}, f64).requires_grad_(), r2 = tensor({0.05, 0.3}, f64), a1 = tensor({1.0, -0.5}, f64),
         a2 = tensor({0.4, 0.5}, f64);
  double first = 2 * 0.15 - 0.6, second = 2 * -0.4 + 1.0;
  Tensor loss = rebel_loss(r1, r2, a1, a2, 2);
  CHECK(loss.item() == doctest::Approx((first * first + second * second) / 2).epsilon(1e-12));
  loss.backward();
  CHECK(to_vector(r1.grad())[0] == doctest::Approx(2 * first).epsilon(1e-12));
  CHECK(to_vector(r1.grad())[1] == doctest::Approx(2 * second).epsilon(1e-12));
  CHECK_THROWS_AS(rebel_loss(r1, r2, a1, a2, 0), ValueError);
}

TEST_CASE("PerKeyAdvantage: by the batch first, then by what the key has seen, of which only the newest are held") {
  PerKeyAdvantage advantage(6, 5);
  std::vector<double> first = advantage({1, 2, 3, 4}, {0, 0, 0, 0});
  std::vector<double> expected{-1.34164, -0.447214, 0.447214, 1.34164};
  for (size_t i = 0; i < 4; ++i) CHECK(first[i] == doctest::Approx(expected[i]).epsilon(1e-5));
  // the fifth reward of key 0 makes its buffer count: 1 2 3 4 10, mean 4, std √10; key 9 is new: the batch 10, 0, mean 5, std 5
  std::vector<double> second = advantage({10, 0}, {0, 9});
  CHECK(second[0] == doctest::Approx(6 / std::sqrt(10.0)).epsilon(1e-6));
  CHECK(second[1] == doctest::Approx(-1).epsilon(1e-6));
  advantage({20, 30, 40}, {0, 0, 0});
  CHECK(advantage.held(0) == std::vector<double>{3, 4, 10, 20, 30, 40});
  CHECK(advantage.held(9) == std::vector<double>{0});
  CHECK(advantage.held(5).empty());
  for (double a : advantage({0.7, 0.7, 0.7}, {1, 2, 3})) CHECK(a == 0);  // though 0.7 + 0.7 + 0.7 is not 2.1 in binary
  CHECK(PerKeyAdvantage(32, 16)({0, 0, 0, 0, 0, 0, 0, 100}, std::vector<int64_t>(8, 1), 2)[7] == 2);  // √7 without the clamp
  CHECK_THROWS_WITH_AS(advantage({NAN}, {0}), "advantage: rewards must be finite, one is nan", ValueError);
  CHECK_THROWS_WITH_AS(advantage({1, 2}, {0}), "advantage: 2 rewards and 1 keys", ShapeError);
  CHECK_THROWS_WITH_AS(advantage({}, {}), "advantage: there are no rewards", ValueError);
  CHECK_THROWS_WITH_AS(PerKeyAdvantage(4, 5), "advantage: needs 1 <= min_count <= buffer, got 5 and 4", ValueError);
}

TEST_CASE("rewards of images: total variation by loops, bytes and runs of flat and noisy ones") {
  Tensor x = test::sample({2, 1, 3, 4}, 5, f32, 0, 1);
  std::vector<double> v = to_vector(x), got = total_variation(x);
  for (size_t b = 0; b < 2; ++b) {
    double across = 0, down = 0;
    for (size_t i = 0; i < 3; ++i)
      for (size_t j = 0; j < 4; ++j) {
        size_t at = 12 * b + 4 * i + j;
        if (j < 3) across += std::abs(v[at + 1] - v[at]) / 9;
        if (i < 2) down += std::abs(v[at + 4] - v[at]) / 8;
      }
    CHECK(got[b] == doctest::Approx(across + down).epsilon(1e-9));
  }
  Tensor flat = full({1, 1, 16, 16}, 0.4), noisy = rand({1, 1, 16, 16});
  CHECK(total_variation(flat)[0] == 0);
  CHECK(png_bytes(noisy)[0] > png_bytes(flat)[0] + 150);
  CHECK(run_share(flat)[0] == doctest::Approx(1.0 / 16));
  CHECK(run_share(noisy)[0] > 0.85);  // 15 of 16 neighbours differ
  CHECK(scaled(total_variation, -2)(x, {})[0] == doctest::Approx(-2 * got[0]));
  CHECK_THROWS_WITH_AS(total_variation(zeros({2, 3})), "total_variation: takes images [B, C, H, W] of at least 2 x 2 pixels, got [2, 3]",
                       ShapeError);
}

// SGD, Adagrad, RMSprop, Lion and RAdam against plain loops.
#include "models/optim/sgd.h"

#include "models/optim/adagrad.h"
#include "models/optim/lion.h"
#include "models/optim/radam.h"
#include "models/optim/rmsprop.h"
#include "optimizer_checks.h"

using namespace plumb;
using namespace plumb::test;
using Numbers = std::vector<double>;

TEST_CASE("sgd: plain, with momentum and dampening, and Nesterov's, match the formula") {
  optim::SGD plain(some_parameters(), {.lr = 0.1, .weight_decay = 0.2});
  check_updates(plain, [](Numbers& p, const Numbers& g, ReferenceState&, int) {
    for (size_t i = 0; i < p.size(); ++i) p[i] -= 0.1 * (g[i] + 0.2 * p[i]);
  });
  CHECK(plain.state().tensors.empty());
  optim::SGD heavy(some_parameters(), {.lr = 0.1, .momentum = 0.9, .dampening = 0.3, .weight_decay = 0.2});
  check_updates(heavy, [](Numbers& p, const Numbers& g, ReferenceState& s, int t) {
    for (size_t i = 0; i < p.size(); ++i) {
      double d = g[i] + 0.2 * p[i];
      s.a[i] = t == 1 ? d : 0.9 * s.a[i] + 0.7 * d;
      p[i] -= 0.1 * s.a[i];
    }
  });
  optim::SGD nesterov(some_parameters(), {.lr = 0.1, .momentum = 0.8, .weight_decay = 0.05, .nesterov = true});
  check_updates(nesterov, [](Numbers& p, const Numbers& g, ReferenceState& s, int) {
    for (size_t i = 0; i < p.size(); ++i) {
      double d = g[i] + 0.05 * p[i];
      s.a[i] = 0.8 * s.a[i] + d;
      p[i] -= 0.1 * (d + 0.8 * s.a[i]);
    }
  });
}

TEST_CASE("adagrad: matches the formula") {
  optim::Adagrad adagrad(some_parameters(), {.lr = 0.3, .lr_decay = 0.1, .eps = 1e-6, .weight_decay = 0.1, .initial_accumulator = 0.2});
  check_updates(adagrad, [](Numbers& p, const Numbers& g, ReferenceState& s, int t) {
    for (size_t i = 0; i < p.size(); ++i) {
      double d = g[i] + 0.1 * p[i];
      if (t == 1) s.a[i] = 0.2;
      s.a[i] += d * d;
      p[i] -= 0.3 / (1 + 0.1 * (t - 1)) * d / (std::sqrt(s.a[i]) + 1e-6);
    }
  });
}

TEST_CASE("rmsprop: plain, with momentum, centred, match the formula") {
  for (bool centered : {false, true})
    for (double momentum : {0.0, 0.7}) {
      CAPTURE(centered);
      CAPTURE(momentum);
      optim::RMSprop rmsprop(some_parameters(),
                             {.lr = 0.03, .alpha = 0.9, .eps = 1e-4, .weight_decay = 0.1, .momentum = momentum, .centered = centered});
      check_updates(rmsprop, [=](Numbers& p, const Numbers& g, ReferenceState& s, int) {
        for (size_t i = 0; i < p.size(); ++i) {
          double d = g[i] + 0.1 * p[i];
          s.a[i] = 0.9 * s.a[i] + 0.1 * d * d;
          s.b[i] = 0.9 * s.b[i] + 0.1 * d;
          double root = std::sqrt(s.a[i] - (centered ? s.b[i] * s.b[i] : 0)) + 1e-4;
          s.c[i] = momentum * s.c[i] + d / root;
          p[i] -= 0.03 * s.c[i];
        }
      });
      CHECK(rmsprop.state().tensors.contains("0.grad_avg") == centered);
      CHECK(rmsprop.state().tensors.contains("0.momentum") == (momentum > 0));
    }
}

TEST_CASE("lion: matches the formula; a direction of zero moves nothing") {
  optim::Lion lion(some_parameters(), {.lr = 0.01, .beta1 = 0.8, .beta2 = 0.95, .weight_decay = 0.3});
  check_updates(lion, [](Numbers& p, const Numbers& g, ReferenceState& s, int) {
    for (size_t i = 0; i < p.size(); ++i) {
      double direction = 0.8 * s.a[i] + 0.2 * g[i];
      p[i] -= 0.01 * 0.3 * p[i];
      if (direction != 0) p[i] -= direction > 0 ? 0.01 : -0.01;
      s.a[i] = 0.95 * s.a[i] + 0.05 * g[i];
    }
  });
  Tensor p = ones({2}).requires_grad_();
  optim::Lion still({p}, {.lr = 0.5});
  p.set_grad(zeros({2}));
  still.step();
  CHECK(to_vector(p) == Numbers{1, 1});
}

// β₂ = 0.9 makes ρ pass 5 at the sixth update, so both forms are seen.
TEST_CASE("radam: matches the formula before and after the variance is rectified") {
  for (bool decoupled : {false, true}) {
    optim::RAdam radam(some_parameters(),
                       {.lr = 0.05, .beta1 = 0.8, .beta2 = 0.9, .eps = 1e-7, .weight_decay = 0.1, .decoupled = decoupled});
    int rectified = 0;
    auto reference = [&](Numbers& p, const Numbers& g, ReferenceState& s, int t) {
      double limit = 2 / (1 - 0.9) - 1, rho = limit - 2 * t * std::pow(0.9, t) / (1 - std::pow(0.9, t));
      rectified += rho > 5;
      for (size_t i = 0; i < p.size(); ++i) {
        double d = g[i] + (decoupled ? 0 : 0.1 * p[i]);
        if (decoupled) p[i] -= 0.05 * 0.1 * p[i];
        s.a[i] = 0.8 * s.a[i] + 0.2 * d;
        s.b[i] = 0.9 * s.b[i] + 0.1 * d * d;
        double m = s.a[i] / (1 - std::pow(0.8, t));
        if (rho <= 5) {
          p[i] -= 0.05 * m;
          continue;
        }
        double r = std::sqrt((rho - 4) * (rho - 2) * limit / ((limit - 4) * (limit - 2) * rho));
        p[i] -= 0.05 * m * r * std::sqrt(1 - std::pow(0.9, t)) / (std::sqrt(s.b[i]) + 1e-7);
      }
    };
    check_updates(radam, reference, 12);
    CHECK(rectified > 0);
    CHECK(rectified < 60);
  }
}

TEST_CASE("sgd, adagrad, rmsprop, lion, radam: a saved state goes on bit by bit") {
  check_resume([](std::vector<Tensor> p) { return optim::SGD(p, {.lr = 0.01}); });
  check_resume([](std::vector<Tensor> p) { return optim::SGD(p, {.lr = 0.01, .momentum = 0.9, .dampening = 0.1}); }, bf16);
  check_resume([](std::vector<Tensor> p) { return optim::SGD(p, {.lr = 0.01, .momentum = 0.9, .nesterov = true}); });
  check_resume([](std::vector<Tensor> p) { return optim::Adagrad(p, {.lr_decay = 0.1}); });
  check_resume([](std::vector<Tensor> p) { return optim::RMSprop(p, {.momentum = 0.5, .centered = true}); });
  check_resume([](std::vector<Tensor> p) { return optim::Lion(p, {}); });
  check_resume([](std::vector<Tensor> p) { return optim::RAdam(p, {.beta2 = 0.9}); });
}

TEST_CASE("sgd, adagrad, rmsprop, lion, radam: reach the minimum of a convex problem") {
  using Parameters = std::vector<Tensor>;
  CHECK(distance_after([](Parameters p) { return optim::SGD(p, {.lr = 0.5}); }, 100) < 1e-6);
  CHECK(distance_after([](Parameters p) { return optim::SGD(p, {.lr = 0.2, .momentum = 0.7, .nesterov = true}); }, 150) < 1e-6);
  CHECK(distance_after([](Parameters p) { return optim::Adagrad(p, {.lr = 0.5}); }, 300) < 1e-6);
  CHECK(distance_after([](Parameters p) { return optim::RAdam(p, {.lr = 0.05}); }, 800) < 1e-3);
  // Steps of constant size end within a step of it: lr times √12.
  CHECK(distance_after([](Parameters p) { return optim::RMSprop(p, {.lr = 1e-3}); }, 2500) < 1e-2);
  CHECK(distance_after([](Parameters p) { return optim::Lion(p, {.lr = 1e-3}); }, 2500) < 2e-2);
}

TEST_CASE("sgd: options that contradict each other are refused") {
  CHECK_THROWS_WITH_AS(optim::SGD({}, {.nesterov = true}), "sgd: momentum with nesterov must be positive, it is 0", ValueError);
  CHECK_THROWS_WITH_AS(optim::SGD({}, {.momentum = 0.9, .dampening = 0.1, .nesterov = true}),
                       "sgd: dampening with nesterov must be 0, it is 0.1", ValueError);
}

// Adam and AdamW against plain loops.
#include "models/optim/adam.h"

#include <memory>

#include "optimizer_checks.h"

using namespace plumb;
using namespace plumb::test;

// The formulas as they stand in the papers, one number at a time.
static auto adam_reference(double lr, double b1, double b2, double eps, double coupled, double decoupled) {
  return [=](std::vector<double>& p, const std::vector<double>& gradient, ReferenceState& s, int t) {
    for (size_t i = 0; i < p.size(); ++i) {
      double g = gradient[i] + coupled * p[i];
      p[i] -= lr * decoupled * p[i];
      s.a[i] = b1 * s.a[i] + (1 - b1) * g;
      s.b[i] = b2 * s.b[i] + (1 - b2) * g * g;
      double m = s.a[i] / (1 - std::pow(b1, t)), v = s.b[i] / (1 - std::pow(b2, t));
      p[i] -= lr * m / (std::sqrt(v) + eps);
    }
  };
}

TEST_CASE("adam: six updates match the formula, weight decay in the gradient") {
  optim::Adam adam(some_parameters(), {.lr = 0.02, .beta1 = 0.8, .beta2 = 0.95, .eps = 1e-6, .weight_decay = 0.3});
  check_updates(adam, adam_reference(0.02, 0.8, 0.95, 1e-6, 0.3, 0));
}

TEST_CASE("adamw: six updates match the formula, weight decay beside the gradient") {
  optim::AdamW adamw(some_parameters(), {.lr = 0.02, .beta1 = 0.9, .beta2 = 0.99, .eps = 1e-8, .weight_decay = 0.1});
  check_updates(adamw, adam_reference(0.02, 0.9, 0.99, 1e-8, 0, 0.1));
}

TEST_CASE("adamw: f32 follows f64 to f32's accuracy") {
  optim::AdamW adamw(some_parameters(f32), {.lr = 0.02, .weight_decay = 0.1});
  check_updates(adamw, adam_reference(0.02, 0.9, 0.999, 1e-8, 0, 0.1), 6, 3e-6);
}

TEST_CASE("adamw: 16-bit parameters move by less than their spacing, because an f32 master adds up") {
  for (DType type : {bf16, f16}) {
    Tensor p = ones({8}, type).requires_grad_();
    optim::AdamW adamw({p}, {.lr = 1e-4, .weight_decay = 0});
    for (int t = 0; t < 200; ++t) {
      p.set_grad(ones({8}, type));
      adamw.step();
    }
    CHECK(to_vector(p)[0] == doctest::Approx(1 - 200e-4).epsilon(type == bf16 ? 4e-3 : 5e-4));  // one rounding
    copy_data(scalar_tensor(0.5, f32), p);  // someone else writes: the master follows
    p.set_grad(zeros({8}, type));
    adamw.options().lr = 0;
    adamw.step();
    CHECK(to_vector(p)[7] == 0.5);
  }
}

TEST_CASE("adam, adamw: a saved state goes on bit by bit, in f32 and in bf16 with masters") {
  for (DType type : {f32, bf16, f64}) {
    check_resume([](std::vector<Tensor> p) { return optim::AdamW(p, {.lr = 0.01}); }, type);
    check_resume([](std::vector<Tensor> p) { return optim::Adam(p, {.lr = 0.01, .weight_decay = 0.1}); }, type);
  }
}

TEST_CASE("adam, adamw: reach the minimum of a convex problem") {
  CHECK(distance_after([](std::vector<Tensor> p) { return optim::Adam(p, {.lr = 0.05}); }, 600) < 1e-3);
  CHECK(distance_after([](std::vector<Tensor> p) { return optim::AdamW(p, {.lr = 0.05, .weight_decay = 0}); }, 600) < 1e-3);
}

TEST_CASE("adamw: groups have their own options, and the scale applies to all") {
  auto two = some_parameters(), half = some_parameters();
  optim::AdamW both({{{two[0]}, {.lr = 0.1, .weight_decay = 0.5}}, {{two[3]}, {.lr = 0.01, .weight_decay = 0}}});
  optim::AdamW first({half[0]}, {.lr = 0.05, .weight_decay = 0.5}), second({half[3]}, {.lr = 0.005, .weight_decay = 0});
  both.set_lr_scale(0.5);
  CHECK(both.lr(0) == 0.05);
  CHECK(both.lr(1) == 0.005);
  for (int t = 1; t <= 3; ++t) {
    set_waving_gradients({two[0], two[3], half[0], half[3]}, t);
    half[0].set_grad(two[0].grad());
    half[3].set_grad(two[3].grad());
    both.step();
    first.step();
    second.step();
  }
  CHECK(to_vector(two[0]) == to_vector(half[0]));
  CHECK(to_vector(two[3]) == to_vector(half[3]));
}

TEST_CASE("adamw: each parameter is corrected for its own number of updates and its group's betas, whatever its neighbours have") {
  std::vector<Tensor> together = {ones({3}), ones({3}), ones({3})}, alone = {ones({3}), ones({3}), ones({3})};
  std::vector<optim::AdamWOptions> options(3);
  options[2].beta1 = 0.5, options[2].beta2 = 0.7;
  optim::AdamW all(
      {{{together[0].requires_grad_(), together[1].requires_grad_()}, options[0]}, {{together[2].requires_grad_()}, options[2]}});
  std::vector<std::unique_ptr<optim::AdamW>> each;
  for (size_t i = 0; i < 3; ++i) each.push_back(std::make_unique<optim::AdamW>(std::vector{alone[i].requires_grad_()}, options[i]));
  for (int t = 0; t < 4; ++t) {
    for (size_t i = 0; i < 3; ++i) {
      Tensor gradient = i == 1 && t < 2 ? Tensor() : full({3}, 0.1 * (t + 1));  // the second begins two steps later
      together[i].set_grad(gradient);
      alone[i].set_grad(gradient);
      each[i]->step();
    }
    all.step();
  }
  for (size_t i = 0; i < 3; ++i) CHECK(to_vector(together[i]) == to_vector(alone[i]));
}

TEST_CASE("adam, adamw: options outside their domain are refused") {
  CHECK_THROWS_WITH_AS(optim::AdamW({}, {.lr = -1}), "adamw: lr must not be negative, it is -1", ValueError);
  CHECK_THROWS_WITH_AS(optim::Adam({}, {.beta2 = 1}), "adam: beta2 must lie in [0, 1), it is 1", ValueError);
}

// Hooks on the update.
#include "models/optim/hooks.h"

#include "models/optim/sgd.h"
#include "optimizer_checks.h"

using namespace plumb;
using namespace plumb::test;
using Numbers = std::vector<double>;

// One SGD step of size 0.5 with the hook, from 1, 2, …, gradient 1: plain SGD would subtract 0.5.
static Numbers after_step(const Shape& shape, std::function<optim::UpdateHook(const Tensor&)> hook, DType type = f64) {
  Numbers start(static_cast<size_t>(numel(shape)));
  for (size_t i = 0; i < start.size(); ++i) start[i] = static_cast<double>(i + 1);
  Tensor p = empty(shape, type);
  copy_data(from_vector(start, shape), p);
  p.requires_grad_();
  optim::SGD sgd({p}, {.lr = 1});
  sgd.set_lr_scale(0.5);
  sgd.add_hook(hook(p));
  p.set_grad(ones(shape, type));
  sgd.step();
  return to_vector(p);
}

TEST_CASE("hooks: rows have their own learning rate, which may change between steps") {
  CHECK(after_step({3, 2}, [](const Tensor& p) { return optim::scale_rows(p, tensor({0.0, 1.0, 2.0})); }) == Numbers{1, 2, 2.5, 3.5, 4, 5});
  CHECK(after_step(
            {3, 2},
            [](const Tensor& p) {
              return optim::scale_rows(p, tensor({0.0, 1.0, 2.0}));
            },
            bf16) == Numbers{1, 2, 2.5, 3.5, 4, 5});
  CHECK(after_step({3}, [](const Tensor&) { return optim::scale_rows(ones({3}), zeros({3})); }) ==
        Numbers{0.5, 1.5, 2.5});  // another parameter's
  CHECK_THROWS_WITH_AS(after_step({3}, [](const Tensor& p) { return optim::scale_rows(p, ones({2})); }),
                       "scale_rows: the multipliers are [2], the parameter [3]", ShapeError);
  Tensor p = ones({2}, f64).requires_grad_(), m = tensor({0.0, 1.0});
  optim::SGD sgd({p}, {.lr = 1});
  sgd.add_hook(optim::scale_rows(p, m));
  p.set_grad(ones({2}, f64));
  sgd.step();
  copy_data(ones({2}), m);
  sgd.step();
  CHECK(to_vector(p) == Numbers{0, -1});
}

TEST_CASE("hooks: decoupled decay and penalties act on the value before the step") {
  Numbers decayed = after_step({2}, [](const Tensor&) { return optim::decoupled_decay(0.2); });
  CHECK(decayed[0] == doctest::Approx(0.5 - 0.1 * 1));
  CHECK(decayed[1] == doctest::Approx(1.5 - 0.1 * 2));
  Numbers penalised = after_step({2}, [](const Tensor&) { return optim::decoupled_penalty(0.2, [](const Tensor& p) { return p * p; }); });
  CHECK(penalised[1] == doctest::Approx(1.5 - 0.1 * 4));
}

// Each proximal step must minimise ½(q − p)² + lr λ penalty(q): checked against a fine search.
TEST_CASE("hooks: proximal steps minimise what they say") {
  Numbers p = after_step({2}, [](const Tensor&) { return optim::proximal_l1(1.2); });  // from 0.5 and 1.5, threshold 0.6
  CHECK(p[0] == 0);
  CHECK(p[1] == doctest::Approx(0.9));
  Numbers q = after_step({2}, [](const Tensor&) { return optim::proximal_l2(0.5); });
  CHECK(q[1] == doctest::Approx(1.5 / 1.25));
  Numbers r = after_step({2, 2}, [](const Tensor&) { return optim::proximal_rows(4); });  // rows (0.5, 1.5), (2.5, 3.5), threshold 2
  CHECK(r[0] == 0);
  CHECK(r[1] == 0);
  CHECK(r[2] == doctest::Approx(2.5 * (1 - 2 / std::sqrt(18.5))));
  Numbers s = after_step({2}, [](const Tensor& t) { return optim::proximal_anchor(2, {t}, {tensor({0.0, 10.0}, f64)}); });
  CHECK(s[0] == doctest::Approx(0.25));
  CHECK(s[1] == doctest::Approx((1.5 + 10) / 2));
  auto objective = [](double v, double at, double threshold) { return 0.5 * (v - at) * (v - at) + threshold * std::abs(v); };
  for (double v = -2; v <= 2; v += 0.01) CHECK(objective(v, 1.5, 0.6) >= objective(p[1], 1.5, 0.6) - 1e-12);
}

TEST_CASE("hooks: limits, and hooks for some parameters only") {
  CHECK(after_step({4}, [](const Tensor&) { return optim::keep_within(1, 2); }) == Numbers{1, 1.5, 2, 2});
  CHECK(after_step({2}, [](const Tensor&) { return optim::only({ones({2})}, optim::keep_within(9, 9)); }) == Numbers{0.5, 1.5});
  CHECK(after_step({2}, [](const Tensor& p) { return optim::only({p}, optim::keep_within(9, 9)); }) == Numbers{9, 9});
  CHECK_THROWS_AS(optim::keep_within(1, 0), ValueError);
  CHECK_THROWS_AS(optim::proximal_anchor(1, {ones({1})}, {}), ShapeError);
}

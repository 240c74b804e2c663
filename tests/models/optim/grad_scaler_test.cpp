// Loss scaling: gradients that f16 alone would lose, steps left out, and how the scale moves.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "engine/autograd/autocast.h"
#include "engine/core/error.h"
#include "models/optim/grad_scaler.h"
#include "models/optim/sgd.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

using namespace plumb;

namespace {

// Σ x w under f16 with a factor that makes dw = 1e-9: below f16's smallest number, 6e-8.
struct Tiny {
  Tensor x = tensor({{1.0, 2.0}}), w = tensor({{1.0}, {1.0}}).requires_grad_();
  Tensor loss() const {
    Autocast cast(f16);
    return to(sum(matmul(x, w)), f32) * 1e-9;
  }
};

}  // namespace

TEST_CASE("grad scaler: gradients below f16's range arrive, divided by the scale again") {
  Tiny plain, scaled;
  plain.loss().backward();
  CHECK(plain.w.grad().data<float>()[0] == 0);
  optim::GradScaler scaler;
  scaler.scaled(scaled.loss()).backward();
  scaler.unscale({scaled.w});
  for (int i = 0; i < 2; ++i) CHECK(scaled.w.grad().data<float>()[i] == doctest::Approx(1e-9 * (i + 1)).epsilon(1e-3));  // f16 has 11 bits
}

TEST_CASE("grad scaler: an overflow leaves the step out and halves the scale; so it goes until it fits") {
  Tensor w = tensor({3.0}).requires_grad_();
  optim::SGD sgd({w}, {.lr = 1});
  optim::GradScaler scaler({.scale = 4, .growth_interval = 2});
  w.set_grad(tensor({static_cast<double>(std::numeric_limits<float>::infinity())}));
  CHECK_FALSE(scaler.step(sgd));
  CHECK(w.data<float>()[0] == 3);
  CHECK(scaler.scale() == 2);
  w.set_grad(tensor({2.0}));  // the gradient of 2 · loss
  CHECK(scaler.step(sgd));
  CHECK(w.data<float>()[0] == 2);
  CHECK(scaler.scale() == 2);
  w.set_grad(tensor({2.0}));
  CHECK(scaler.step(sgd));
  CHECK(scaler.scale() == 4);  // two in a row
  CHECK(scaler.steps_since_change() == 0);
}

TEST_CASE("grad scaler: its state is two numbers") {
  optim::GradScaler a({.scale = 8, .growth_interval = 3}), b({.scale = 1, .growth_interval = 3});
  a.update(true);
  a.update(true);
  b.set_state(a.scale(), a.steps_since_change());
  a.update(true);
  b.update(true);
  CHECK(b.scale() == 16);
  CHECK(a.scale() == b.scale());
}

TEST_CASE("grad scaler: options out of range are refused") {
  CHECK_THROWS_WITH_AS(optim::GradScaler({.scale = 0}), "grad_scaler: scale must be positive and finite, it is 0", ValueError);
  CHECK_THROWS_WITH_AS(optim::GradScaler({.growth = 1}), "grad_scaler: growth must be above 1, it is 1", ValueError);
  CHECK_THROWS_WITH_AS(optim::GradScaler({.backoff = 1}), "grad_scaler: backoff must lie in (0, 1), it is 1", ValueError);
  CHECK_THROWS_WITH_AS(optim::GradScaler().scaled(full({}, 1, f16)),
                       "grad_scaler: the loss is f16, which the scale would overflow; convert it to f32", DTypeError);
  CHECK_THROWS_WITH_AS(optim::GradScaler({.growth_interval = 0}), "grad_scaler: growth_interval must be at least 1, it is 0", ValueError);
}

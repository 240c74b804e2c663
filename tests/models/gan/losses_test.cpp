// Adversarial losses against their formulas, and penalties on gradients where these are known.
#include <doctest/doctest.h>

#include <cmath>

#include "engine/autograd/grad_mode.h"
#include "models/gan/losses.h"
#include "ops/activation.h"
#include "ops/conv.h"
#include "ops/elementary.h"
#include "ops/gradcheck.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"

using namespace plumb;
using namespace plumb::gan;

TEST_CASE("gan losses: each is its formula, and real and generated batches may differ in size") {
  std::vector<double> real{-1.5, 0.25, 3}, fake{-2, 0.5};
  Tensor r = from_vector(real), f = from_vector(fake);
  auto average = [](const std::vector<double>& v, auto term) {
    double total = 0;
    for (double x : v) total += term(x);
    return total / static_cast<double>(v.size());
  };
  auto log_loss = [](double x) { return std::log(1 + std::exp(x)); };
  struct Row {
    GanLoss loss;
    double discriminator, generator;
  };
  for (auto [loss, d, g] :
       {Row{GanLoss::non_saturating, average(real, [&](double x) { return log_loss(-x); }) + average(fake, log_loss),
            average(fake, [&](double x) { return log_loss(-x); })},
        Row{GanLoss::hinge,
            average(real, [](double x) { return std::max(0.0, 1 - x); }) + average(fake, [](double x) { return std::max(0.0, 1 + x); }),
            average(fake, [](double x) { return -x; })},
        Row{GanLoss::least_squares,
            average(real, [](double x) { return (x - 1) * (x - 1) / 2; }) + average(fake, [](double x) { return x * x / 2; }),
            average(fake, [](double x) { return (x - 1) * (x - 1) / 2; })},
        Row{GanLoss::wasserstein, average(fake, [](double x) { return x; }) - average(real, [](double x) { return x; }),
            average(fake, [](double x) { return -x; })}}) {
    CAPTURE(name(loss));
    CHECK(discriminator_loss(loss, r, f).item() == doctest::Approx(d).epsilon(1e-12));
    CHECK(generator_loss(loss, f).item() == doctest::Approx(g).epsilon(1e-12));
    CHECK(gan_loss_named(name(loss)) == loss);
  }
  CHECK(std::isfinite(discriminator_loss(GanLoss::non_saturating, tensor({-1e4}), tensor({1e4})).item()));
  CHECK_THROWS_WITH_AS(gan_loss_named("minimax"),
                       "gan: loss \"minimax\" is unknown; choose non_saturating, hinge, least_squares or wasserstein", ConfigError);
}

TEST_CASE("gan losses: penalties of a linear discriminator are those of its slope") {
  manual_seed(1);
  Tensor slope = randn({2, 3, 3}, {.dtype = f64}), x = randn({4, 2, 3, 3}, {.dtype = f64});
  double squares = sum(square(slope)).item();
  auto linear_judge = [&](const Tensor& images) { return sum(images * slope, {1, 2, 3}); };
  Tensor images = x.detach().requires_grad_();
  CHECK(r1_penalty(linear_judge(images), images).item() == doctest::Approx(squares).epsilon(1e-12));
  Generator random(3);
  CHECK(gradient_penalty(linear_judge, x, x + 1, random).item() == doctest::Approx(std::pow(std::sqrt(squares) - 1, 2)).epsilon(1e-9));
  CHECK_THROWS_WITH_AS(gradient_penalty(linear_judge, x, zeros({2, 2, 3, 3}), random),
                       "gradient_penalty: real images are [4, 2, 3, 3], generated ones [2, 2, 3, 3]", ShapeError);
}

TEST_CASE("gan losses: gradient_penalty looks between the images, at another place for each pair") {
  manual_seed(2);
  Generator random(4);
  std::vector<double> seen;
  auto watch = [&](const Tensor& images) {
    seen = to_vector(images);
    return sum(square(images), {1, 2, 3});
  };
  gradient_penalty(watch, zeros({3, 1, 1, 2}, f64), ones({3, 1, 1, 2}, f64), random);
  for (size_t i = 0; i < 3; ++i) {
    CHECK(seen[2 * i] == seen[2 * i + 1]);
    CHECK(seen[2 * i] > 0);
    CHECK(seen[2 * i] < 1);
    CHECK(seen[2 * i] != seen[(2 * i + 2) % 6]);
  }
}

TEST_CASE("gan losses: a penalty is differentiable in the discriminator's weights") {
  manual_seed(3);
  Tensor x = randn({2, 2, 4, 4}, {.dtype = f64}), up = randn({3, 2, 3, 3}, {.dtype = f64}), down = randn({1, 3, 4, 4}, {.dtype = f64});
  auto penalty = [&](const std::vector<Tensor>& w) {
    GradMode on(true);  // the differences are taken without recording, which the penalty itself needs
    Tensor images = x.detach().requires_grad_();
    Tensor logits = flatten(conv2d(tanh(conv2d(images, w[0], {}, {.padding = 1})), w[1]));
    return std::vector<Tensor>{r1_penalty(logits, images)};
  };
  GradcheckResult result = gradcheck(penalty, {up, down}, {.rtol = 1e-5});
  CHECK_MESSAGE(result.passed, result.message);
}

TEST_CASE("gan losses: path lengths of a linear generator are those of its columns against the noise") {
  manual_seed(5);
  Tensor weight = randn({4, 6}, {.dtype = f64}), w = randn({3, 2, 3}, {.dtype = f64}).requires_grad_();
  Tensor images = reshape(matmul(flatten(w, 1), transpose(weight, 0, 1)), {3, 1, 2, 2});
  Generator random(9), again(9);
  auto got = to_vector(path_lengths(images, w, random));
  auto noise = to_vector(randn({3, 1, 2, 2}, {.dtype = f64, .generator = &again})), m = to_vector(weight);
  for (size_t i = 0; i < 3; ++i) {
    double total = 0;
    for (size_t j = 0; j < 6; ++j) {
      double slope = 0;
      for (size_t p = 0; p < 4; ++p) slope += noise[4 * i + p] / 2 * m[6 * p + j];
      total += slope * slope;
    }
    CHECK(got[i] == doctest::Approx(std::sqrt(total / 2)).epsilon(1e-12));
  }
}

TEST_CASE("gan losses: the gradient penalty of vectors") {
  Generator g(3);
  Tensor real = randn({5, 2}, {.generator = &g}), generated = randn({5, 2}, {.generator = &g});
  auto three_times_the_first = [](const Tensor& x) { return narrow(x, 1, 0, 1) * 3; };
  CHECK(gradient_penalty(three_times_the_first, real, generated, g).item() == doctest::Approx(4).epsilon(1e-5));
}

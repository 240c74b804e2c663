// Preconditioning, losses and guidance: worked numbers, and identities between parametrisations.
#include <doctest/doctest.h>

#include <cmath>

#include "models/diffusion/guidance.h"
#include "models/diffusion/loss.h"
#include "ops/elementary.h"
#include "ops/gradcheck.h"
#include "ops/join.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"

using namespace plumb;
using namespace plumb::diffusion;

namespace {

void check_scalings(const Scalings& s, double skip, double out, double in, double noise) {
  CHECK(s.skip == doctest::Approx(skip).epsilon(1e-5));
  CHECK(s.out == doctest::Approx(out).epsilon(1e-5));
  CHECK(s.in == doctest::Approx(in).epsilon(1e-5));
  CHECK(s.noise == doctest::Approx(noise).epsilon(1e-5));
}

double worst(const Tensor& a, const Tensor& b) { return max(abs(a - b)).item(); }

}  // namespace

TEST_CASE("precondition: worked scalings") {
  ConsistencyPrecondition consistency;
  check_scalings(consistency.at(0.5), 0.502004, 0.352139, 1.41421, -0.173287);
  check_scalings(consistency.at(80), 3.90629e-05, 0.499978, 0.0124998, 1.09551);
  CHECK(consistency.at(0.002).skip == 1);
  CHECK(consistency.at(0.002).out == 0);
  CHECK(consistency.at(0.002).in == doctest::Approx(1.99998).epsilon(1e-5));
  ContinuousVPrecondition v;
  check_scalings(v.at(700), 2.04081e-06, -0.999999, 0.00142857, 1.63777);
  check_scalings(v.at(1), 0.5, -0.707107, 0.707107, 0);
  CHECK(v.at(0).skip == 1);
  CHECK(v.at(0).out == 0);
  CHECK(std::isfinite(v.at(0).noise));
  EdmPrecondition edm;
  check_scalings(edm.at(1), 0.2, 0.447214, 0.894427, 0);
  CHECK_THROWS_WITH_AS(edm.at(0), "edm: sigma must be positive, it is 0", ValueError);
  CHECK_THROWS_WITH_AS(consistency.at(0.001), "consistency: sigma must be at least sigma_min, it is 0.001", ValueError);
}

TEST_CASE("precondition: a consistency model is the identity at its lowest level, bit for bit, and Euler's step is worked") {
  manual_seed(1);
  Tensor x = randn({3, 2, 2, 2});
  Network net = [](const Tensor& y, const Tensor&) { return y * 3.7 + 1; };
  CHECK(to_vector(ConsistencyPrecondition().denoise(net, x, full({3}, 0.002))) == to_vector(x));
  // x = 3, σ = 5, the network says −0.2: D = 0.311501, and a step to 2 gives 1.38690
  Network constant = [](const Tensor& y, const Tensor&) { return full(y.shape(), -0.2, y.dtype()); };
  Tensor three = full({1, 1}, 3.0, f64);
  double d = ContinuousVPrecondition().denoise(constant, three, full({1}, 5.0, f64)).item();
  CHECK(d == doctest::Approx(0.311501).epsilon(1e-5));
  CHECK(3 + (3 - d) / 5 * (2 - 5) == doctest::Approx(1.38690).epsilon(1e-5));
  CHECK_THROWS_WITH_AS(EdmPrecondition().denoise(net, x, full({2}, 1.0)),
                       "denoise: sigma must hold one number an example of [3, 2, 2, 2], it is [2]", ShapeError);
}

TEST_CASE("precondition: eps, x0 and v networks that say the truth are one denoiser, and network_target is what they must say") {
  manual_seed(2);
  auto schedule = VpSchedule::linear();
  Tensor clean = randn({2, 3}, {.dtype = f64}), noise = randn({2, 3}, {.dtype = f64});
  Tensor sigma = from_vector(std::vector<double>{schedule.sigma(300), schedule.sigma(800)});
  Tensor alpha_bar = from_vector(std::vector<double>{schedule.alpha_bar(300), schedule.alpha_bar(800)});
  Tensor x = clean + per_example(sigma, clean) * noise;
  struct Case {
    Prediction kind;
    Tensor truth;
  };
  for (const Case& c : {Case{Prediction::eps, noise}, {Prediction::x0, clean}, {Prediction::v, velocity(clean, noise, alpha_bar)}}) {
    VpPrecondition p(schedule, c.kind);
    Tensor seen, time;
    Network net = [&](const Tensor& y, const Tensor& t) { return seen = y, time = t, c.truth; };
    CHECK(worst(p.denoise(net, x, sigma), clean) < 1e-12);
    CHECK(worst(seen, add_noise(clean, noise, alpha_bar)) < 1e-12);
    CHECK(to_vector(time)[0] == doctest::Approx(300).epsilon(1e-9));
    CHECK(worst(p.network_target(clean, x, sigma), c.truth) < 1e-9);
    CHECK(worst(predicted_clean(c.kind, seen, c.truth, alpha_bar), clean) < 1e-12);
  }
  // worked: z0 = (0.5, −1), eps = (1, −0.5) at step 499 of the linear schedule of latent diffusion
  Tensor z = add_noise(tensor({{0.5, -1.0}}, f64), tensor({{1.0, -0.5}}, f64),
                       full({1}, VpSchedule::linear(1000, 0.00085, 0.012).alpha_bar(499), f64));
  CHECK(to_vector(z)[0] == doctest::Approx(1.11666).epsilon(1e-5));
  CHECK(to_vector(z)[1] == doctest::Approx(-0.860022).epsilon(1e-5));
}

TEST_CASE("loss_weight: worked weights, and each weighting equals the plain loss of its name") {
  CHECK(loss_weight(0.5) == doctest::Approx(8));
  CHECK(loss_weight(2) == doctest::Approx(4.25));
  CHECK(loss_weight(0.05) == doctest::Approx(404));
  CHECK(loss_weight(0.1, {.weighting = Weighting::min_snr}) == 5);
  CHECK(loss_weight(1, {.weighting = Weighting::min_snr}) == 1);
  CHECK_THROWS_WITH_AS(loss_weight(0), "loss_weight: sigma must be positive, it is 0", ValueError);
  manual_seed(3);
  Tensor clean = randn({4, 5}, {.dtype = f64}), noise = randn({4, 5}, {.dtype = f64}), sigma = rand({4}, {.dtype = f64}) + 0.3;
  Tensor x = clean + per_example(sigma, clean) * noise, said = randn({4, 5}, {.dtype = f64});
  Network net = [&](const Tensor&, const Tensor&) { return said; };
  auto schedule = VpSchedule::linear();
  auto plain = [&](const Precondition& p, Weighting w) {
    Denoiser d = [&](const Tensor& y, const Tensor& s) { return p.denoise(net, y, s); };
    Tensor direct = mean(square(said - p.network_target(clean, x, sigma)), {1});
    return worst(denoising_losses(d, clean, noise, sigma, {.weighting = w}), direct);
  };
  CHECK(plain(VpPrecondition(schedule, Prediction::eps), Weighting::eps) < 1e-10);
  CHECK(plain(VpPrecondition(schedule, Prediction::x0), Weighting::x0) < 1e-10);
  CHECK(plain(VpPrecondition(schedule, Prediction::v), Weighting::v) < 1e-10);
  CHECK(plain(EdmPrecondition(), Weighting::edm) < 1e-10);
}

TEST_CASE("pseudo_huber_distance: worked value and gradient, 0 with gradient 0 at equality") {
  Tensor u = tensor({{0.3, -0.2, 0.1}}, f64).requires_grad_(), v = tensor({{0.1, 0.2, 0.0}}, f64);
  Tensor d = pseudo_huber_distance(u, v, 0.03);
  CHECK(d.item() == doctest::Approx(0.429239).epsilon(1e-5));
  d.backward();
  auto g = to_vector(u.grad());
  CHECK(g[0] == doctest::Approx(0.435504).epsilon(1e-5));
  CHECK(g[1] == doctest::Approx(-0.871007).epsilon(1e-5));
  CHECK(g[2] == doctest::Approx(0.217752).epsilon(1e-5));
  Tensor w = v.detach().requires_grad_();
  Tensor zero = pseudo_huber_distance(w, v, 0.03);
  CHECK(zero.item() == 0);
  zero.backward();
  for (double x : to_vector(w.grad())) CHECK(x == 0);
  CHECK_THROWS_AS(pseudo_huber_distance(u, v, 0), ValueError);
}

TEST_CASE("denoising_losses: the gradient of the network's parameters agrees with differences") {
  manual_seed(4);
  Tensor clean = randn({3, 2}, {.dtype = f64}), noise = randn({3, 2}, {.dtype = f64}), sigma = rand({3}, {.dtype = f64}) + 0.2;
  EdmPrecondition edm;
  CHECK(gradcheck(
      [&](const std::vector<Tensor>& p) {
        Network net = [&](const Tensor& x, const Tensor& t) { return x * p[0] + per_example(t, x) * p[1]; };
        return std::vector<Tensor>{
            denoising_losses([&](const Tensor& x, const Tensor& s) { return edm.denoise(net, x, s); }, clean, noise, sigma)};
      },
      {randn({2}, {.dtype = f64}), randn({2}, {.dtype = f64})}));
}

TEST_CASE("guidance: both conventions' worked numbers, one call of twice the batch, and none outside the interval") {
  Tensor c = tensor({{0.4, -0.1}}, f64), u = tensor({{0.1, 0.2}}, f64);
  auto g = to_vector(guided(c, u, 7.5));
  CHECK(g[0] == doctest::Approx(2.35));
  CHECK(g[1] == doctest::Approx(-2.05));
  g = to_vector(guided(c, u, 8.5));  // (1 + w) c − w u with w = 7.5
  CHECK(g[0] == doctest::Approx(2.65));
  CHECK(worst(guided(c, u, 1), c) < 1e-15);
  CHECK(to_vector(guided(c, u, 0)) == to_vector(u));
  int calls = 0, plain = 0;
  Denoiser conditional = [&](const Tensor&, const Tensor&) { return ++plain, c; };
  Denoiser both = [&](const Tensor& x, const Tensor& s) {
    ++calls;
    CHECK(x.size(0) == 2);
    CHECK(s.size(0) == 2);
    return cat({c, u});
  };
  Denoiser d = classifier_free(conditional, both, {.scale = 7.5, .sigma_low = 0.1, .sigma_high = 10});
  CHECK(to_vector(d(zeros({1, 2}, f64), full({1}, 1.0, f64)))[0] == doctest::Approx(2.35));
  CHECK(to_vector(d(zeros({1, 2}, f64), full({1}, 20.0, f64))) == to_vector(c));
  CHECK(calls == 1);
  CHECK(plain == 1);
  d(zeros({1, 2}, f64), full({1}, 10.0, f64));  // the upper end is within, the lower is not
  CHECK(calls == 2);
  d(zeros({1, 2}, f64), full({1}, 0.1, f64));
  CHECK(calls == 2);
}

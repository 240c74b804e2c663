// Samplers against distributions whose denoiser is known exactly: data N(μ, s²) has D(x, σ) = (s² x + σ² μ)/(s² + σ²), and the ODE carries
// x to μ + (x − μ) √((s² + σ'²)/(s² + σ²)).
#include <doctest/doctest.h>

#include <cmath>

#include "models/diffusion/sampler.h"
#include "ops/elementary.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"

using namespace plumb;
using namespace plumb::diffusion;

namespace {

constexpr double kMean = 0.7, kStd = 0.5;

Tensor exact(const Tensor& x, const Tensor& sigma) {
  Tensor s2 = per_example(square(sigma), x);
  return (x * (kStd * kStd) + s2 * kMean) / (s2 + kStd * kStd);
}
double exact_solution(double x, double sigma, double next) {
  return kMean + (x - kMean) * std::sqrt((kStd * kStd + next * next) / (kStd * kStd + sigma * sigma));
}

double solved(Sampler sampler, int64_t steps) {
  return sample(exact, full({1, 1}, 9.0, f64), karras_sigmas(steps + 1, 0.5, 10), {.sampler = sampler}).item();
}
double error(Sampler sampler, int64_t steps) { return std::abs(solved(sampler, steps) - exact_solution(9, 10, 0.5)); }

struct Moments {
  double mean, variance;
};
Moments moments(const Tensor& x) { return {plumb::mean(x).item(), var(x, {}, 0).item()}; }

// What n draws of a normal distribution may miss by, four standard deviations.
void check_moments(const Tensor& x, double wanted_mean, double wanted_variance) {
  auto n = static_cast<double>(x.numel());
  Moments m = moments(x);
  CHECK(std::abs(m.mean - wanted_mean) < 4 * std::sqrt(wanted_variance / n));
  CHECK(std::abs(m.variance - wanted_variance) < 4 * wanted_variance * std::sqrt(2 / n));
}

}  // namespace

TEST_CASE("samplers: deterministic ones converge to the exact solution with their order") {
  struct Order {
    Sampler sampler;
    double order;
  };
  for (auto [sampler, order] : {Order{Sampler::euler, 1}, {Sampler::ddim, 1}, {Sampler::heun, 2}, {Sampler::dpmpp_2m, 2}}) {
    CAPTURE(name(sampler));
    double rate = std::log2(error(sampler, 64) / error(sampler, 128));
    CHECK(rate == doctest::Approx(order).epsilon(0.12));
    CHECK(error(sampler, 128) < (order == 1 ? 0.02 : 0.001));
  }
}

TEST_CASE("samplers: worked single steps of Euler and Heun") {
  // data N(0, 0.25): x = 3 at level 5, to level 1
  Denoiser d = [](const Tensor& x, const Tensor& sigma) { return x * 0.25 / (per_example(square(sigma), x) + 0.25); };
  Tensor three = full({1, 1}, 3.0, f64);
  CHECK(sample(d, three, {5, 1}, {.sampler = Sampler::euler}).item() == doctest::Approx(0.623762).epsilon(1e-5));
  CHECK(sample(d, three, {5, 1}, {.sampler = Sampler::heun}).item() == doctest::Approx(0.813861).epsilon(1e-5));
  CHECK(sample(d, three, {5, 1}, {.sampler = Sampler::dpmpp_2m}).item() == doctest::Approx(0.623762).epsilon(1e-5));
  CHECK(sample(d, three, karras_sigmas(400, 1, 5), {.sampler = Sampler::heun}).item() == doctest::Approx(0.667491).epsilon(1e-5));
}

TEST_CASE("samplers: DDIM on the variance-preserving scale, worked, with and without noise") {
  auto s = VpSchedule::scaled_linear();
  double a = s.alpha_bar(519), b = s.alpha_bar(511);
  Tensor x = tensor({{0.5, -1.0}}, f64), eps = tensor({{0.4, -0.9}}, f64), n = tensor({{1.0, -0.5}}, f64);
  Tensor clean = (x - eps * std::sqrt(1 - a)) / std::sqrt(a);
  auto stepped = [&](double eta) {  // the kit's step in x/√ᾱ, brought back
    auto [up, down] = eta_step(s.sigma(519), s.sigma(511), eta);
    Tensor y = x / std::sqrt(a), next = clean + (y - clean) * (down / s.sigma(519)) + n * up;
    return to_vector(next * std::sqrt(b));
  };
  CHECK(stepped(0)[0] == doctest::Approx(0.500729).epsilon(1e-5));
  CHECK(stepped(0)[1] == doctest::Approx(-0.999113).epsilon(1e-5));
  CHECK(stepped(0.3)[0] == doctest::Approx(0.558925).epsilon(1e-5));
  CHECK(stepped(0.3)[1] == doctest::Approx(-1.02679).epsilon(1e-5));
  CHECK(stepped(1)[0] == doctest::Approx(0.688295).epsilon(1e-5));
  CHECK(stepped(1)[1] == doctest::Approx(-1.07692).epsilon(1e-5));
  auto [up, down] = eta_step(5, 3, 0.3);
  CHECK(up == doctest::Approx(0.72));
  CHECK(down == doctest::Approx(2.91232).epsilon(1e-5));
  CHECK(up * up + down * down == doctest::Approx(9));
  CHECK_THROWS_AS(eta_step(3, 5, 0), ValueError);
  CHECK_THROWS_AS(eta_step(5, 3, 1.5), ValueError);
}

TEST_CASE("samplers: all reach the mean and the variance of the data") {
  constexpr int64_t kSamples = 40000;
  Generator start(5);
  Tensor x = randn({kSamples, 1}, {.dtype = f64, .generator = &start}) * std::sqrt(80 * 80 + kStd * kStd) + kMean;
  auto sigmas = karras_sigmas_to_zero(200);
  for (Sampler sampler : {Sampler::euler, Sampler::ddim, Sampler::heun, Sampler::dpmpp_2m}) {
    CAPTURE(name(sampler));
    Moments m = moments(sample(exact, x, sigmas, {.sampler = sampler}));
    // First-order samplers shrink or widen by a share of the step; 200 steps leave about two per cent.
    CHECK(std::abs(m.mean - kMean) < 0.02);
    CHECK(m.variance == doctest::Approx(kStd * kStd).epsilon(0.04));
  }
  Generator noise(6);
  Tensor y = sample(exact, x, karras_sigmas_to_zero(1000), {.sampler = Sampler::heun, .churn = 40, .generator = &noise});
  check_moments(y, kMean, kStd * kStd);
}

TEST_CASE("samplers: noisy ones have exactly the moments that their recursion gives") {
  // Through one step x ~ N(m, v) becomes a x + b + up z with a = D' + (1 − D') down/σ, D' = s²/(s² + σ²).
  constexpr int64_t kSamples = 40000;
  for (double eta : {0.5, 1.0}) {
    auto sigmas = karras_sigmas_to_zero(30, 0.01, 20);
    double m = kMean, v = 20 * 20 + kStd * kStd;
    for (size_t i = 0; i + 1 < sigmas.size(); ++i) {
      double share = kStd * kStd / (kStd * kStd + sigmas[i] * sigmas[i]);
      auto [up, down] = eta_step(sigmas[i], sigmas[i + 1], eta);
      double a = share + (1 - share) * down / sigmas[i];
      m = a * m + (1 - a) * kMean;
      v = a * a * v + up * up;
    }
    Generator generator(7);
    Tensor x = randn({kSamples, 1}, {.dtype = f64, .generator = &generator}) * std::sqrt(20 * 20 + kStd * kStd) + kMean;
    SamplerOptions options{.sampler = eta == 1 ? Sampler::ancestral : Sampler::ddim, .eta = eta, .generator = &generator};
    check_moments(sample(exact, x, sigmas, options), m, v);
    CHECK(v == doctest::Approx(kStd * kStd).epsilon(0.12));
  }
}

TEST_CASE("samplers: a consistency model that is the exact map reproduces the data in one step and in several") {
  constexpr int64_t kSamples = 40000;
  constexpr double kLow = 0.002;
  Denoiser jump = [](const Tensor& x, const Tensor& sigma) {
    double s = max(sigma).item();
    return (x - kMean) * std::sqrt((kStd * kStd + kLow * kLow) / (kStd * kStd + s * s)) + kMean;
  };
  Generator generator(8);
  Tensor x = randn({kSamples, 1}, {.dtype = f64, .generator = &generator}) * std::sqrt(80 * 80 + kStd * kStd) + kMean;
  SamplerOptions options{.sampler = Sampler::consistency, .generator = &generator};
  check_moments(sample(jump, x, {80}, options), kMean, kStd * kStd);
  check_moments(sample(jump, x, {80, 5, 0.8, 0}, options), kMean, kStd * kStd);
}

TEST_CASE("samplers: one seed gives one result, steps are reported, nothing is recorded") {
  Tensor x = randn({4, 2}, {.dtype = f64}).requires_grad_();
  std::vector<double> first;
  for (int run = 0; run < 2; ++run) {
    Generator generator(9);
    int64_t steps = 0;
    Tensor y = sample(exact, x * 10, karras_sigmas_to_zero(5, 0.1, 10),
                      {.sampler = Sampler::ancestral, .generator = &generator, .on_step = [&](int64_t i, const Tensor& d) {
                         CHECK(i == steps++);
                         CHECK(d.shape() == x.shape());
                       }});
    CHECK(steps == 5);
    CHECK(!y.requires_grad());
    if (run == 0) first = to_vector(y);
    else CHECK(first == to_vector(y));
  }
}

TEST_CASE("samplers: unknown names, grids that do not descend and options out of range are named") {
  CHECK(sampler_from_name("dpmpp_2m") == Sampler::dpmpp_2m);
  for (Sampler s : {Sampler::euler, Sampler::ddim, Sampler::ancestral, Sampler::heun, Sampler::dpmpp_2m, Sampler::consistency})
    CHECK(sampler_from_name(name(s)) == s);
  CHECK_THROWS_WITH_AS(sampler_from_name("plms"),
                       "sampler \"plms\" is unknown; choose from euler, ddim, ancestral, heun, dpmpp_2m, consistency", ValueError);
  Tensor x = zeros({1, 1}, f64);
  CHECK_THROWS_WITH_AS(sample(exact, x, {1, 2}), "sample: noise levels must descend to 0 at least, 1 is followed by 2",
                       ValueError);
  CHECK_THROWS_WITH_AS(sample(exact, x, {1}), "sample: heun needs at least 2 noise levels, got 1", ValueError);
  CHECK_THROWS_WITH_AS(sample(exact, x, {1, 0}, {.eta = 2}), "sample: eta must lie in [0, 1], it is 2", ValueError);
}

TEST_CASE("samplers: churn raises a level by at most its factor √2, and only between its bounds") {
  std::vector<double> asked;
  Denoiser d = [&](const Tensor& x, const Tensor& sigma) { return asked.push_back(max(sigma).item()), zeros_like(x); };
  Generator noise(2);
  Tensor x = ones({3, 1}, f64);
  sample(d, x, {8, 4, 2, 1}, {.sampler = Sampler::euler, .churn = 1000, .churn_min = 3, .churn_max = 5, .generator = &noise});
  REQUIRE(asked.size() == 3);
  CHECK(asked[0] == 8);  // above churn_max
  CHECK(asked[1] == doctest::Approx(4 * std::sqrt(2.0)).epsilon(1e-12));
  CHECK(asked[2] == 2);  // below churn_min
  asked.clear();
  sample(d, x, {8, 4, 2, 1}, {.sampler = Sampler::euler, .churn = 0.3, .generator = &noise});
  CHECK(asked[0] == doctest::Approx(8 * 1.1).epsilon(1e-12));  // a third of it in each of three steps
}

TEST_CASE("samplers: between the steps of a consistency model the noise that its smallest level stands for is left out") {
  std::vector<Tensor> seen;
  Denoiser d = [&](const Tensor& x, const Tensor&) { return seen.push_back(x), zeros_like(x); };
  Generator noise(4), same(4);
  sample(d, ones({5, 2}, f64), {9, 5}, {.sampler = Sampler::consistency, .sigma_min = 3, .generator = &noise});
  REQUIRE(seen.size() == 2);
  Tensor expected = randn_like(seen[1], &same) * 4.0;  // √(5² − 3²)
  CHECK(max(abs(seen[1] - expected)).item() < 1e-14);
}

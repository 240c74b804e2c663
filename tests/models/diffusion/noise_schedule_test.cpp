// Noise grids and schedules against closed forms and worked numbers of the papers' algorithms.
#include <doctest/doctest.h>

#include <cmath>

#include "models/diffusion/noise_schedule.h"
#include "ops/reduce.h"

using namespace plumb;
using namespace plumb::diffusion;

namespace {

void check_close(const std::vector<double>& got, const std::vector<double>& wanted, double tolerance = 5e-6) {
  REQUIRE(got.size() == wanted.size());
  for (size_t i = 0; i < got.size(); ++i) CHECK(std::abs(got[i] - wanted[i]) <= tolerance * std::abs(wanted[i]));
}

}  // namespace

TEST_CASE("karras_sigmas: worked grids, in both orders, with exact ends") {
  check_close(karras_sigmas(11, 0.002, 80, 7, GridOrder::ascending),
              {0.002, 0.0167208, 0.0850872, 0.318283, 0.965417, 2.51522, 5.83895, 12.3816, 24.4083, 45.3137, 80});
  check_close(karras_sigmas(18), {80, 57.5860, 40.7856, 28.3746, 19.3525, 12.9101, 8.40094, 5.31519, 3.25682, 1.92334, 1.08817, 0.585348,
                                  0.296442, 0.139516, 0.0599473, 0.0229345, 0.00752802, 0.002});
  check_close(karras_sigmas_to_zero(6, 0.002, 700), {700, 193.646, 40.0771, 5.23278, 0.292965, 0.002, 0});
  CHECK(karras_sigmas(5).front() == 80);
  CHECK(karras_sigmas(5).back() == 0.002);
  CHECK_THROWS_WITH_AS(karras_sigmas(1), "karras_sigmas: a grid has at least 2 levels, 1 asked for", ValueError);
  CHECK_THROWS_AS(karras_sigmas(5, 0), ValueError);
  CHECK_THROWS_WITH_AS(karras_sigmas(5, 2, 1),
                       "karras_sigmas: needs 0 < sigma_min < sigma_max and rho > 0, got 2, 1 and 7", ValueError);
}

TEST_CASE("VpSchedule: products of 1 - beta, worked values of the latent-diffusion schedules") {
  auto scaled = VpSchedule::scaled_linear();
  check_close({scaled.alpha_bar(19), scaled.alpha_bar(159), scaled.alpha_bar(279), scaled.alpha_bar(519), scaled.alpha_bar(999)},
              {0.982244, 0.814990, 0.625729, 0.251578, 0.00466010});
  auto linear = VpSchedule::linear(1000, 0.00085, 0.012);
  check_close({linear.alpha_bar(9), linear.alpha_bar(499), linear.alpha_bar(999)}, {0.991034, 0.161812, 0.00157896});
  CHECK(linear.alpha_bar(-1) == 1);
  // 519 → 511: the standard deviation of the ancestral step between them, not neighbours
  double a = scaled.alpha_bar(519), b = scaled.alpha_bar(511);
  CHECK(std::sqrt((1 - b) / (1 - a) * (1 - a / b)) == doctest::Approx(0.196694).epsilon(1e-5));
}

TEST_CASE("VpSchedule: variance is preserved, and sigma is the noise over the signal") {
  for (const auto& s : {VpSchedule::linear(), VpSchedule::scaled_linear(), VpSchedule::cosine()}) {
    double product = 1;
    for (int64_t t = 0; t < s.steps(); ++t) {
      product *= 1 - s.beta(t);
      CHECK(s.alpha_bar(t) == doctest::Approx(product).epsilon(1e-12));
      CHECK(s.alpha_bar(t) * (1 + s.sigma(t) * s.sigma(t)) == doctest::Approx(1).epsilon(1e-12));
      CHECK(s.posterior_variance(t) <= s.beta(t));
    }
    CHECK(s.posterior_variance(0) == 0);
    for (int64_t t : {0, 1, 500, 999}) CHECK(s.time_of(s.sigma(t)) == doctest::Approx(static_cast<double>(t)).epsilon(1e-9));
    CHECK(s.time_of(0) == 0);
    CHECK(s.time_of(1e9) == 999);
  }
}

TEST_CASE("VpSchedule: the cosine form follows cos², its last beta capped") {
  auto s = VpSchedule::cosine(100);
  double f0 = std::pow(std::cos(0.008 / 1.008 * M_PI / 2), 2);
  for (int64_t t : {0, 10, 49, 98})
    CHECK(s.alpha_bar(t) ==
          doctest::Approx(std::pow(std::cos((static_cast<double>(t + 1) / 100 + 0.008) / 1.008 * M_PI / 2), 2) / f0).epsilon(1e-9));
  CHECK(s.beta(99) == 0.999);
}

TEST_CASE("VpSchedule: DDIM's levels go from the last step to 0, and tensors of times are looked up") {
  auto s = VpSchedule::linear();
  auto levels = s.sigmas(4);
  check_close(levels, {s.sigma(999), s.sigma(749), s.sigma(499), s.sigma(249), 0}, 1e-12);
  auto a = to_vector(s.alpha_bar(tensor({999, 0, 5})));
  CHECK(a[1] == doctest::Approx(1 - 1e-4).epsilon(1e-6));
  CHECK(a[0] == doctest::Approx(s.alpha_bar(999)).epsilon(1e-6));
  CHECK_THROWS_WITH_AS(s.alpha_bar(1000), "vp_schedule: time 1000 is outside [0, 1000)", IndexError);
  CHECK_THROWS_WITH_AS(s.sigmas(1001), "vp_schedule: 1001 of 1000 steps", ValueError);
  CHECK_THROWS_WITH_AS(VpSchedule({0.1, 1.0}), "vp_schedule: every beta must lie in (0, 1), one is 1", ValueError);
}

TEST_CASE("flow_levels: worked shifted levels, ending at 0") {
  check_close({shifted_level(0.02, 17), shifted_level(0.7, 17), shifted_level(0.72, 17), shifted_level(1, 17), shifted_level(0.001, 17)},
              {0.257576, 0.975410, 0.977636, 1, 0.0167323});
  check_close({shifted_level(0.02, 7), shifted_level(0.7, 7), shifted_level(0.72, 7)}, {0.125, 0.942308, 0.947368});
  auto plain = flow_levels(4);
  check_close(plain, {1, 0.75, 0.5, 0.25, 0}, 1e-15);
  CHECK_THROWS_AS(flow_levels(0), ValueError);
}

TEST_CASE("lognormal: levels have the moments of the distribution, bins its masses") {
  Generator generator(1);
  Tensor s = lognormal_sigmas(20000, -1.2, 1.2, generator);
  double m = 0, v = 0;
  auto values = to_vector(s);
  for (double x : values) m += std::log(x);
  m /= 20000;
  for (double x : values) v += (std::log(x) - m) * (std::log(x) - m);
  CHECK(std::abs(m + 1.2) < 4 * 1.2 / std::sqrt(20000.0));
  CHECK(std::abs(v / 19999 - 1.44) < 4 * 1.44 * std::sqrt(2 / 20000.0));
  check_close(lognormal_bin_probabilities(karras_sigmas(11, 0.002, 80, 7, GridOrder::ascending)),
              {0.0626330, 0.181737, 0.245501, 0.213494, 0.142446, 0.0806046, 0.0410799, 0.0195801, 0.00894387, 0.00397961}, 1e-5);
  CHECK_THROWS_AS(lognormal_bin_probabilities(karras_sigmas(11)), ValueError);
}

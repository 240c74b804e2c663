// Integer times: which ones a sampler goes through, and the moments of an ancestral step.
#include <doctest/doctest.h>

#include <cmath>

#include "models/diffusion/ddpm.h"
#include "ops/elementary.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "tests/ops/samples.h"

using namespace plumb;
using namespace plumb::diffusion;

TEST_CASE("ddpm: descending times are the integers of a linspace, the data last") {
  CHECK(descending_times(600, 25).front() == 599);
  CHECK(descending_times(600, 25)[1] == 575);
  CHECK(descending_times(600, 25).back() == -1);
  CHECK(descending_times(600, 25).size() == 26);
  CHECK(descending_times(10, 4) == std::vector<int64_t>{9, 6, 4, 1, -1});  // −1, 1.5, 4, 6.5, 9
  CHECK(descending_times(3, 3) == std::vector<int64_t>{2, 1, 0, -1});
  CHECK_THROWS_WITH_AS(descending_times(3, 4), "descending_times: 4 steps do not lie between 1 and the start 3", ValueError);
}

TEST_CASE("ddpm: a posterior step with the true data leaves x at the earlier time's distribution") {
  VpSchedule schedule = VpSchedule::cosine(50);
  constexpr int64_t n = 40'000;
  Generator g(4);
  Tensor clean = full({n}, 0.8, f64), x = noised(schedule, clean, 30, g), y = posterior_sample(schedule, x, clean, 30, g);
  double a = schedule.alpha_bar(29), spread = std::sqrt(1 - a);
  CHECK(std::abs(mean(y).item() - 0.8 * std::sqrt(a)) < 5 * spread / std::sqrt(static_cast<double>(n)));
  CHECK(std_dev(y).item() == doctest::Approx(spread).epsilon(5 / std::sqrt(2.0 * n)));
  CHECK(test::difference(posterior_sample(schedule, x, clean, 0, g), clean) < 1e-12);  // at t = 0 the data, without noise
}

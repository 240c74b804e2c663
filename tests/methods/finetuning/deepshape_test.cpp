// DeepShape on worked numbers: weights dealt out anew on a grid, and by quantiles.
#include "methods/finetuning/gg_prior/deepshape.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "engine/core/generator.h"
#include "methods/common/entropy_coding.h"
#include "ops/pointwise.h"
#include "ops/shape.h"
#include "tests/methods/check_close.h"

using namespace plumb;
using namespace plumb::methods;
using namespace plumb::methods::gg_prior;
using doctest::Approx;

namespace {

std::vector<double> eighths() { return {1, -8, 2, 0, -2, 3, -4, -1, 4, 0, -3, 1, 5, -2, 0, 2, -1}; }
std::vector<double> times_eight(const Tensor& w) { return to_vector(w * 8.0); }

}  // namespace

TEST_CASE("deepshape: weights on a grid have their worked values") {
  Tensor w = from_vector(eighths()) / 8.0;
  DeepshapeReport r = deepshape({w}, {.bits = 3, .tail_count = 1});
  CHECK(r.tail == 3);
  CHECK(r.fit.ratio == Approx(1.524691).epsilon(4e-7));
  CHECK(r.fit.shape == 2.31);
  CHECK(r.scale == Approx(0.322690).epsilon(2e-6));
  CHECK(r.middle == 0);
  CHECK(r.moved == 13);
  CHECK(r.counts == std::vector<int64_t>{0, 0, 3, 4, 3, 0, 0});
  std::vector<double> p{0.0122217, 0.0731281, 0.232868, 0.363564};
  for (size_t i = 0; i < p.size(); ++i) {
    CHECK(std::abs(r.probabilities[i] - p[i]) < (i < 2 ? 6e-8 : 6e-7));
    CHECK(r.probabilities[6 - i] == r.probabilities[i]);
  }
  CHECK(times_eight(w) == std::vector<double>{1, -8, 2, 0, -1, 3, -4, 0, 4, 0, -1, 1, 5, -1, 1, 2, 0});
}

TEST_CASE("deepshape: it works on all tensors together, and never turns the order of those that it deals out around") {
  std::vector<double> all = eighths();
  Tensor first = from_vector(std::vector<double>(all.begin(), all.begin() + 5)) / 8.0;
  Tensor second = from_vector(std::vector<double>(all.begin() + 5, all.end())) / 8.0;
  deepshape({first, second}, {.bits = 3, .tail_count = 1});
  CHECK(times_eight(first) == std::vector<double>{1, -8, 2, 0, -1});
  CHECK(times_eight(second) == std::vector<double>{3, -4, 0, 4, 0, -1, 1, 5, -1, 1, 2, 0});

  Generator random(4);
  Tensor w = GeneralizedGaussian{1.3, 0.05}.sample({3000}, {.dtype = f64, .generator = &random});
  std::vector<double> before = to_vector(w);
  DeepshapeReport r = deepshape({w}, {.bits = 9, .tail_count = 2});
  std::vector<double> after = to_vector(w);
  // The weights within reach by their grid values: the first ones are dealt out, the others keep theirs, as do those beyond.
  std::vector<size_t> within;
  for (size_t i = 0; i < before.size(); ++i) {
    double k = std::nearbyint(before[i] * 512);
    if (std::abs(k - static_cast<double>(r.middle)) <= static_cast<double>(r.tail)) {
      within.push_back(i);
    } else {
      CHECK(after[i] == k / 512);
    }
  }
  CHECK(static_cast<int64_t>(within.size()) == r.moved);
  std::ranges::stable_sort(within, {}, [&](size_t i) { return std::nearbyint(before[i] * 512); });
  auto dealt = static_cast<size_t>(std::accumulate(r.counts.begin(), r.counts.end(), int64_t{0}));
  CHECK(within.size() - dealt <= static_cast<size_t>(2 * r.tail + 1));
  CHECK(dealt > within.size() / 2);
  bool in_order = true, kept = true;
  for (size_t i = 1; i < dealt; ++i) in_order = in_order && after[within[i - 1]] <= after[within[i]];
  for (size_t i = dealt; i < within.size(); ++i) kept = kept && after[within[i]] == std::nearbyint(before[within[i]] * 512) / 512;
  CHECK(in_order);
  CHECK(kept);
  CHECK(bits_per_parameter({w}, 1.0 / 512) < mean_bits(count_integers(grid_integers({from_vector(before)}, 1.0 / 512)), Coder::exp_golomb));
}

TEST_CASE("deepshape: a tail that no grid value is seldom enough for ends at the largest weight") {
  Tensor w = from_vector(std::vector<double>{-2, -2, 1, 1, 0, 0});
  CHECK(deepshape({w}, {.bits = 0, .tail_count = 1}).tail == 2);
}

TEST_CASE("deepshape: quantiles of ranks have their worked values; strength goes from nothing to all") {
  Tensor w = tensor({0.4, -0.1, 0.05, -0.6, 0.2}, f64);
  GeneralizedGaussian target = GeneralizedGaussian::of_variance(1, 0.338231 * 0.338231);
  CHECK(target.scale == Approx(0.239165).epsilon(4e-6));
  Tensor mapped = deepshape_continuous(w, target);
  std::vector<double> wanted{0.384922, -0.122172, 0, -0.384922, 0.122172}, got = to_vector(mapped);
  for (size_t i = 0; i < wanted.size(); ++i) CHECK(std::abs(got[i] - wanted[i]) < 2e-6);
  CHECK(to_vector(deepshape_continuous(w, target, 0)) == to_vector(w));
  check_close(deepshape_continuous(w, target, 0.25) - w * 0.75 - mapped * 0.25, std::vector<double>(5, 0));
  check_close(deepshape_continuous(w, target, 1, 0.1) - mapped, std::vector<double>(5, 0.1), 1e-12);
}

TEST_CASE("deepshape: draws mapped to their own distribution hardly move, the less the more there are") {
  GeneralizedGaussian prior{0.8, 0.1};
  Generator random(9);
  std::vector<double> at_quartile;
  for (int64_t n : {100, 10'000}) {
    Tensor w = prior.sample({n}, {.dtype = f64, .generator = &random});
    Tensor own = clone(w);
    deepshape_continuous_({own}, prior);
    std::vector<double> a = to_vector(w), b = to_vector(own);
    std::ranges::sort(a), std::ranges::sort(b);
    double largest = 0;  // over the middle half
    for (size_t i = a.size() / 4; i < 3 * a.size() / 4; ++i) largest = std::max(largest, std::abs(a[i] - b[i]));
    // A quantile's deviation is √(p (1 − p) / n) / density, at most 0.5 / √n over the density at the quartile; the largest of many is
    // within 4 of them.
    double density = std::exp(prior.log_density(prior.quantile(0.75)));
    CHECK(largest < 4 * 0.5 / std::sqrt(static_cast<double>(n)) / density);
    at_quartile.push_back(largest);
  }
  CHECK(at_quartile[1] < at_quartile[0]);
}

TEST_CASE("deepshape: bad input is told by its values") {
  Tensor w = tensor({0.5, -0.25});
  CHECK_THROWS_WITH_AS(deepshape({}), "grid_integers: there are no weights", ValueError);
  CHECK_THROWS_WITH_AS(deepshape({zeros({3})}), "fit_moments: all weights are 0; zeros have no shape", ValueError);
  CHECK_THROWS_WITH_AS(deepshape({w}, {.bits = 31}), "deepshape: bits must be in [0, 30], they are 31", ValueError);
  CHECK_THROWS_WITH_AS(deepshape({w}, {.tail_count = -1}), "deepshape: tail_count must not be negative, it is -1", ValueError);
  CHECK_THROWS_WITH_AS(deepshape({w}, {.shape_factor = 0}), "deepshape: factors must be positive, they are 0 and 0.6",
                       ValueError);
  CHECK_THROWS_WITH_AS(deepshape_continuous(w, {1, 1}, 2), "deepshape: the strength must be in [0, 1], it is 2", ValueError);
  CHECK_THROWS_WITH_AS(deepshape_continuous_({}, {1, 1}), "deepshape: there are no weights", ValueError);
  CHECK(to_vector(w) == std::vector<double>{0.5, -0.25});
}

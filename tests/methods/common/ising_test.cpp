// The counted Ising model: worked numbers of two lattices, identities of marginals, and samplers against the exact means.
#include <doctest/doctest.h>

#include <cmath>

#include "methods/common/ising.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

using namespace plumb;
using namespace plumb::methods;

namespace {

// A row of unknown sites but for the first ones.
Tensor knowing(int64_t sites, std::vector<double> first) {
  first.resize(static_cast<size_t>(sites), -1);
  return from_vector(first, {1, sites});
}

}  // namespace

TEST_CASE("ising: worked numbers of lattices of side 3 and 4") {
  struct Worked {
    int64_t side;
    double log_z, mean_log_f, entropy, one, two, all_up;
  };
  for (const Worked& w :
       {Worked{3, 7.11537, 2.24033, 4.87504, 0.732542, 0.579985, 5.4}, {4, 12.5985, 3.91724, 8.68127, 0.740003, 0.583019, 9.6}}) {
    CAPTURE(w.side);
    Ising model({.side = w.side});
    EnumeratedIsing exact(model);
    CHECK(exact.log_z() == doctest::Approx(w.log_z).epsilon(1e-5));
    CHECK(exact.mean_log_f() == doctest::Approx(w.mean_log_f).epsilon(1e-5));
    CHECK(exact.entropy() == doctest::Approx(w.entropy).epsilon(1e-5));
    CHECK(std::exp(exact.log_marginal(knowing(model.sites(), {1})).item()) == doctest::Approx(w.one).epsilon(1e-5));
    CHECK(std::exp(exact.log_marginal(knowing(model.sites(), {1, 1})).item()) == doctest::Approx(w.two).epsilon(1e-5));
    CHECK(model.log_f(ones({1, model.sites()})).item() == doctest::Approx(w.all_up).epsilon(1e-12));
  }
  CHECK(Ising({.side = 3}).log_f(zeros({1, 9})).item() == doctest::Approx(1.8).epsilon(1e-12));
}

TEST_CASE("ising: marginals add up, nothing known has probability 1, and all known is log f − log Z") {
  Ising model({.side = 3, .coupling = 0.25, .field = -0.1});
  EnumeratedIsing exact(model);
  CHECK(exact.log_marginal(knowing(9, {})).item() == doctest::Approx(0).epsilon(1e-12));
  double up = std::exp(exact.log_marginal(knowing(9, {0, 1})).item()), down = std::exp(exact.log_marginal(knowing(9, {0, 0})).item());
  CHECK(up + down == doctest::Approx(std::exp(exact.log_marginal(knowing(9, {0})).item())).epsilon(1e-12));
  Tensor x = tensor({{0, 1, 1, 0, 0, 1, 0, 1, 0}});
  CHECK(exact.log_marginal(x).item() == doctest::Approx(model.log_f(x).item() - exact.log_z()).epsilon(1e-12));
  for (double m : exact.site_means()) CHECK(m == doctest::Approx(exact.site_means()[0]).epsilon(1e-12));  // all places are alike
}

TEST_CASE("ising: exact draws and Gibbs sampling have the exact means of sites and of neighbours") {
  Ising model({.side = 3});
  EnumeratedIsing exact(model);
  Generator g(1);
  constexpr int64_t n = 4000;
  double one = exact.site_means()[0], two = std::exp(exact.log_marginal(knowing(9, {1, 1})).item());
  Tensor chains = zeros({n, 9});
  for (const Tensor& x : {exact.sample(n, g), model.gibbs(chains, 30, g)}) {
    CHECK(x.shape() == Shape{n, 9});
    Tensor first = select(x, 1, 0), second = select(x, 1, 1);
    CHECK(std::abs(mean(first).item() - one) < 4.5 * std::sqrt(one * (1 - one) / n));
    CHECK(std::abs(mean(first * second).item() - two) < 4.5 * std::sqrt(two * (1 - two) / n));
  }
}

TEST_CASE("ising: what is no lattice and no state is named") {
  CHECK_THROWS_WITH_AS(Ising({.side = 2}), "ising: the side must be at least 3, it is 2", ValueError);
  CHECK_THROWS_WITH_AS(EnumeratedIsing(Ising({.side = 5})), "ising: 2^25 states are too many to count; the side is at most 4", ValueError);
  CHECK_THROWS_WITH_AS(Ising().log_f(zeros({2, 9})), "ising: takes states [B, 16], got [2, 9]", ShapeError);
  CHECK_THROWS_WITH_AS(Ising({.side = 3}).log_f(ones({1, 9}) * 2), "ising: a site is 0 or 1, one is 2", ValueError);
}

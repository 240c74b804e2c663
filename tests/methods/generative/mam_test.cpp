// MaM: the card's worked numbers, exact tables, both energy-based objectives and what they are compared with, and the experiments.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "methods/common/ising.h"
#include "methods/generative/mam/energy.h"
#include "methods/runner.h"
#include "models/optim/adam.h"
#include "ops/create.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "tests/methods/measured.h"
#include "tests/models/any_order/table.h"

using namespace plumb;
using namespace plumb::any_order;

namespace plumb::methods::mam {
Experiment experiment();
}
namespace plumb::methods::mam_likelihood {
Experiment experiment();
}

namespace mam = methods::mam;

TEST_CASE("mam: self-consistency, worked") {
  Tensor previous = tensor({-1.2, -0.5}, f64), current = tensor({-2.0, -1.5}, f64), logits = tensor({{0.3, -0.7}, {1.0, 2.0}}, f64);
  std::vector<double> r = to_vector(mam::residuals(previous, logits, tensor({1, 0}), current));
  CHECK(r[0] == doctest::Approx(0.513262).epsilon(1e-5));
  CHECK(r[1] == doctest::Approx(0.313262).epsilon(1e-5));
  CHECK(to_vector(mam::residuals(zeros({2}, f64), logits, tensor({1, 0}), zeros({2}, f64)))[0] == doctest::Approx(1.31326).epsilon(1e-5));

  // the same through whole calls with D = 4, and the boundary
  Tensor x = tensor({{2, 1, 1, 2}, {1, 1, 2, 2}}), rank = tensor({{0, 1, 2, 3}, {0, 1, 2, 3}});
  mam::Heads heads{
      [&](const Tensor& y) {
        std::vector<int64_t> known = to_vector<int64_t>(sum(y != 0, {1}));
        std::vector<double> answers;
        for (size_t b = 0; b < known.size(); ++b) {
          bool second = y.size(0) == 4 && b % 2 == 1;
          answers.push_back(known[b] == 0 && y.size(0) == 1 ? 0.1 : known[b] == 0 ? (second ? -0.5 : -1.2) : (second ? -1.5 : -2.0));
        }
        return from_vector(answers);
      },
      [&](const Tensor&) {
        Tensor all = zeros({2, 4, 2}, f64), first = select(all, 1, 0);
        copy_(first, logits);
        return all;
      }};
  auto at = mam::self_consistency(heads, x, rank, tensor({1, 1}));
  CHECK(at.loss.item() == doctest::Approx(0.180785).epsilon(1e-5));
  double both = 4 * at.loss.item() + mam::boundary_loss(heads, 4, scalar_tensor(0.0, f64)).item();
  CHECK(both == doctest::Approx(0.733141).epsilon(1e-5));
}

TEST_CASE("mam: REINFORCE with a standardised reward, worked") {
  Tensor lp = tensor({-3.0, -2.5, -4.0, -3.2}, f64).requires_grad_(), lf = tensor({-1.0, -2.0, 0.5, -1.5}, f64);
  auto at = mam::reinforce(lp, lf);
  std::vector<double> a{-2, -0.5, -4.5, -1.7}, r{0.104165, 0.997006, -1.38390, 0.282733};
  at.loss.backward();
  for (size_t i = 0; i < 4; ++i) {
    CHECK(to_vector(at.advantage)[i] == doctest::Approx(a[i]).epsilon(1e-12));
    CHECK(to_vector(at.reward)[i] == doctest::Approx(r[i]).epsilon(1e-5));
    CHECK(to_vector(lp.grad())[i] == doctest::Approx(r[i] / 4).epsilon(1e-5));
  }
  CHECK(at.loss.item() == doctest::Approx(0.456465).epsilon(1e-5));
  // a constant in log f, and a factor of A, change nothing
  Tensor shifted = mam::reinforce(lp, lf + 7.5).reward, scaled = mam::reinforce(lp * 3.0, lf * 3.0).reward;
  for (size_t i = 0; i < 4; ++i) {
    CHECK(to_vector(shifted)[i] == doctest::Approx(r[i]).epsilon(1e-5));
    CHECK(to_vector(scaled)[i] == doctest::Approx(r[i]).epsilon(1e-5));
  }
  CHECK_THROWS_WITH_AS(mam::reinforce(tensor({1.0}), tensor({1.0})),
                       "reinforce: takes log p and log f of the same samples, at least two, got [1] and [1]", ShapeError);
}

TEST_CASE("mam: exact marginals and conditionals agree for every order, step and vector; marginals alone imply the conditionals") {
  test::Table table(3, 2, 11);
  mam::Heads exact{table.log_marginal(), table.conditionals()},
      implied{table.log_marginal(), mam::conditionals_of_marginals(table.log_marginal(), 2)};
  std::vector<int64_t> order{0, 1, 2};
  do {
    Tensor rank = from_vector(order, {1, 3});
    for (int64_t state = 0; state < 8; ++state)
      for (int64_t d = 1; d <= 3; ++d)
        for (const mam::Heads* heads : {&exact, &implied})
          CHECK(std::abs(mam::self_consistency(*heads, table.row(state), rank, full({1}, d, i64)).residual.item()) <= 1e-12);
  } while (std::next_permutation(order.begin(), order.end()));
  CHECK(mam::boundary_loss(exact, 3, scalar_tensor(0.0, f64)).item() <= 1e-24);

  Tensor x = tensor({{2, 1, 2}}), known = tensor({{0, 1, 0}});
  int64_t both[] = {2, 1, 2}, one[] = {0, 1, 0};
  CHECK(mam::log_marginal(exact, known).item() == doctest::Approx(std::log(table.marginal(one))).epsilon(1e-12));
  CHECK(mam::log_block_conditional(exact, x, known).item() ==
        doctest::Approx(std::log(table.marginal(both) / table.marginal(one))).epsilon(1e-12));
  Generator g(1);
  Tensor drawn = mam::conditional_sample(exact, contiguous(expand(known, {50, 3})), g);
  CHECK(sum(select(drawn, 1, 1) == 1).item() == 50);
  CHECK(sum(drawn == 0).item() == 0);
}

TEST_CASE("mam: step d compares d − 1 known variables with d") {
  std::vector<std::vector<int64_t>> asked;  // of the marginals; then of the conditionals
  auto count = [&](const Tensor& x) { asked.push_back(to_vector<int64_t>(sum(x != 0, {1}))); };
  mam::Heads heads{[&](const Tensor& x) {
                     count(x);
                     return zeros({x.size(0)}, f64);
                   },
                   [&](const Tensor& x) {
                     count(x);
                     return zeros({x.size(0), 4, 2}, f64);
                   }};
  Tensor x = tensor({{1, 2, 1, 2}, {2, 2, 1, 1}}), rank = tensor({{3, 1, 0, 2}, {0, 1, 2, 3}});
  for (int64_t d = 1; d <= 4; ++d) {
    asked.clear();
    mam::self_consistency(heads, x, rank, full({2}, d, i64));
    REQUIRE(asked.size() == 2);
    CHECK(asked[0] == std::vector<int64_t>{d - 1, d - 1});
    CHECK(asked[1] == std::vector<int64_t>{d - 1, d - 1, d, d});
  }
  CHECK_THROWS_WITH_AS(mam::self_consistency(heads, x, rank, full({2}, 0, i64)), "self_consistency: d must lie in [1, 4], one is 0",
                       ValueError);
  CHECK_THROWS_WITH_AS(mam::self_consistency(heads, x, rank, full({2}, 5, i64)), "self_consistency: d must lie in [1, 4], one is 5",
                       ValueError);
  CHECK_THROWS_WITH_AS(mam::self_consistency(heads, tensor({{1, 2, 3, 1}, {1, 1, 1, 1}}), rank, full({2}, 1, i64)),
                       "self_consistency: symbols lie in 1...2, one is 3", ValueError);
  CHECK_THROWS_WITH_AS(mam::self_consistency(heads, x, tensor({{0, 1, 2, 2}, {0, 1, 2, 3}}), full({2}, 1, i64)),
                       "self_consistency: ranks of row 0 are no permutation: 2 occurs twice", ValueError);
  mam::SampleBuffer buffer{.x = x, .gibbs_steps = 5};
  CHECK_THROWS_WITH_AS(buffer.advance(heads.conditionals, 1), "mam: gibbs_steps must lie in [1, 4], they are 5", ValueError);
}

TEST_CASE("mam: no part of the consistency is detached, and stage two of likelihood training leaves the conditionals alone") {
  manual_seed(2);
  mam::MarginalModel model({.variables = 5, .symbols = 3, .width = 8, .layers = 2});
  Generator g(3);
  Tensor x = randint(1, 4, {6, 5}, {.dtype = i64, .generator = &g}), rank = random_ranks(6, 5, g);
  mam::self_consistency(model.heads(), x, rank, mam::random_steps(6, 5, g)).loss.backward();
  for (const Tensor& p : model.parameters()) CHECK(p.grad().defined());
  model.zero_grad();
  mam::likelihood_loss(model.heads(), x, x, g).backward();
  for (const Tensor& p : model.conditional_part().parameters()) CHECK_FALSE(p.grad().defined());
  for (const Tensor& p : model.marginal_part().parameters()) CHECK(p.grad().defined());
  auto answer = model.forward(x);
  CHECK(answer.log_marginal.shape() == Shape{6});
  CHECK(answer.logits.shape() == Shape{6, 5, 3});
}

TEST_CASE("mam: the KL objective's gradient does not change with a constant in log f; regression learns the constant") {
  manual_seed(4);
  mam::MarginalModel model({.variables = 4, .symbols = 2, .width = 8, .layers = 2});
  model.to(f64);
  Generator g(5);
  Tensor x = randint(1, 3, {16, 4}, {.dtype = i64, .generator = &g}), rank = random_ranks(16, 4, g), d = mam::random_steps(16, 4, g);
  auto gradients = [&](double constant) {
    model.zero_grad();
    mam::kl_loss(
        model.heads(), [&](const Tensor& y) { return to(sum(y, {1}), f64) * 0.3 + constant; }, x, rank, d, 4, 4 * std::log(2.0))
        .loss.backward();
    std::vector<double> all;
    for (const Tensor& p : model.parameters())
      for (double v : to_vector(p.grad())) all.push_back(v);
    return all;
  };
  std::vector<double> plain = gradients(0), shifted = gradients(100);
  for (size_t i = 0; i < plain.size(); ++i) CHECK(plain[i] == doctest::Approx(shifted[i]).epsilon(1e-8).scale(1e-3));

  // two variables, all four states equally likely with f = e^3 each: log Z = 3 + 2 log 2, and log p(x) = log f(x) where regression ends
  mam::MarginalModel small({.variables = 2, .symbols = 2, .width = 16, .layers = 2});
  Tensor log_z = tensor({2 * std::log(2.0)}).requires_grad_();
  using Groups = std::vector<optim::Group<optim::AdamOptions>>;
  optim::Adam adam(Groups{{small.parameters(), {.lr = 1e-2}}, {{log_z}, {.lr = 5e-2}}});
  Tensor states = tensor({{1, 1}, {1, 2}, {2, 1}, {2, 2}});
  for (int k = 0; k < 800; ++k) {
    adam.set_lr_scale(k < 500 ? 1 : 0.1);
    adam.zero_grad();
    mam::regression_loss(
        small.heads(), [](const Tensor& y) { return full({y.size(0)}, 3.0); }, states, states, log_z, 1, g)
        .loss.backward();
    adam.step();
  }
  CHECK(log_z.item() == doctest::Approx(3 + 2 * std::log(2.0)).epsilon(0.01));
  CHECK(mam::log_marginal(small.heads(), tensor({{1, 0}})).item() == doctest::Approx(-std::log(2.0)).epsilon(0.03));
}

TEST_CASE("mam: the autoregressive baselines: an unbiased one-step estimate, a fixed order") {
  test::Table table(3, 2, 12);
  for (int64_t state = 0; state < 8; ++state) {
    double estimate = 0;
    for (int64_t d = 1; d <= 3; ++d)
      estimate += mam::one_step_estimate(table.conditionals(), table.row(state), full({1}, d, i64)).item() / 3;
    CHECK(estimate == doctest::Approx(std::log(table.p[static_cast<size_t>(state)])).epsilon(1e-12));
  }
  manual_seed(6);
  mam::MarginalModel model({.variables = 3, .symbols = 2, .width = 8, .layers = 2});
  Tensor x = tensor({{1, 2, 1}, {2, 2, 1}, {1, 1, 2}, {2, 1, 1}});
  mam::LogDensity log_f = [](const Tensor& y) { return to(sum(y, {1}), f64); };
  Conditionals conditionals = model.heads().conditionals;
  // the surrogate of ARM-Full is mean(r log p) with r from the same exact log p
  Tensor lp = log_likelihood(conditionals, x, forward_ranks(4, 3));
  CHECK(mam::arm_full_loss(conditionals, log_f, x).loss.item() == doctest::Approx(mam::reinforce(lp, log_f(x)).loss.item()).epsilon(1e-6));
  Generator g(7), same(7);
  Tensor first = mam::one_step_estimate(conditionals, x, mam::random_steps(4, 3, same)),
         second = mam::one_step_estimate(conditionals, x, mam::random_steps(4, 3, same));
  CHECK(mam::arm_mc_loss(conditionals, log_f, x, g).loss.item() ==
        doctest::Approx(mam::reinforce(second, first, log_f(x)).loss.item()).epsilon(1e-6));
}

TEST_CASE("mam: independent spins with the exact means are 0.273104 and 0.4190 nats from the lattices, the uniform distribution 1.5082") {
  for (auto [side, distance] : {std::pair{3, 0.273104}, {4, 0.4190}}) {
    methods::Ising model({.side = side});
    methods::EnumeratedIsing exact(model);
    // E_q log q − E_q log f + log Z for independent q: spins have mean m, so E_q log f = edges · 2 J m² + sites · b m
    double up = exact.site_means()[0], m = 2 * up - 1, n = side * side;
    double entropy = -n * (up * std::log(up) + (1 - up) * std::log(1 - up));
    CHECK(-entropy - (2 * n * 0.2 * m * m + n * 0.2 * m) + exact.log_z() == doctest::Approx(distance).epsilon(1e-4));
    if (side == 4) CHECK(exact.log_z() - n * std::log(2.0) == doctest::Approx(1.5082).epsilon(1e-4));
  }
}

TEST_CASE("mam: the experiment runs on a lattice of side 3, and learns from the density alone") {
  methods::Results results =
      methods::run_experiment({"generative", "mam", &mam::experiment, {}}, {.budget = methods::Budget::smoke, .seeds = 1});
  REQUIRE(results.cells.size() == mam::experiment().variants.size());
  for (const auto& cell : results.cells)
    for (const auto& [name, value] : cell.measured.metrics) CHECK_MESSAGE(std::isfinite(value), cell.variant << ": " << name);
  CHECK(measured(results, "independent spins", "KL (nats)") == doctest::Approx(0.273104).epsilon(1e-4));
  double uniform = 7.11537 - 9 * std::log(2.0);  // where an untrained model stands, about
  CHECK(measured(results, "ARM-Full", "KL (nats)") < uniform);
  CHECK(measured(results, "MaM", "KL (nats)") < uniform);
}

TEST_CASE("mam: the likelihood experiment runs, and marginals follow the likelihoods they were trained on") {
  methods::Results results = methods::run_experiment({"generative", "mam_likelihood", &methods::mam_likelihood::experiment, {}},
                                                     {.budget = methods::Budget::smoke, .seeds = 1});
  REQUIRE(results.cells.size() == methods::mam_likelihood::experiment().variants.size());
  for (const auto& cell : results.cells)
    for (const auto& [name, value] : cell.measured.metrics) CHECK_MESSAGE(std::isfinite(value), cell.variant << ": " << name);
  CHECK(measured(results, "AO-ARM, 5 orders", "Spearman") > 0.5);
  CHECK(measured(results, "AO-ARM, 5 orders", "NLL (bits a pixel)") < 1);  // what a fair coin a pixel would cost
}

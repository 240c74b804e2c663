// GG-Prior: moments, starts, BackSlash and rates on worked numbers, and the experiment. DeepShape, codes and minifloats have tests of their
// own.
#include "methods/finetuning/gg_prior/gg_prior.h"

#include <doctest/doctest.h>

#include <cmath>

#include "engine/autograd/backward.h"
#include "engine/autograd/grad_mode.h"
#include "engine/core/generator.h"
#include "methods/runner.h"
#include "models/mlp/mlp.h"
#include "models/nn/conv.h"
#include "models/optim/adam.h"
#include "ops/elementary.h"
#include "ops/gradcheck.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "tests/methods/check_close.h"
#include "tests/methods/measured.h"

namespace plumb::methods::gg_prior {
Experiment experiment();
}

using namespace plumb;
using namespace plumb::methods;
using doctest::Approx;
namespace gg = plumb::methods::gg_prior;

namespace {

Tensor eight_weights() { return tensor({-0.5, -0.1, 0.0, 0.02, 0.05, 0.3, -0.04, 0.01}, f64); }

}  // namespace

TEST_CASE("generalised Gaussian: ratios of moments have their worked values and fall with the shape") {
  for (auto [shape, ratio] :
       std::vector<std::pair<double, double>>{{2, 1.570796}, {1, 2}, {0.5, 3.333333}, {0.3, 6.661053}, {1.36, 1.755198}, {3, 1.460998}})
    CHECK(moment_ratio(shape) == Approx(ratio).epsilon(4e-7));
  for (int k = 10; k < 300; ++k) CHECK(moment_ratio(k / 100.0) > moment_ratio((k + 1) / 100.0));
}

TEST_CASE("generalised Gaussian: the fitted shape is the nearest one of the table") {
  ShapeFit fit = fit_moments(weight_moments({eight_weights()}));
  CHECK(fit.ratio == Approx(2.726644).epsilon(4e-7));
  CHECK(fit.shape == 0.62);
  CHECK(moment_ratio(0.62) == Approx(2.730665).epsilon(4e-7));
  CHECK(std::abs(moment_ratio(0.62) - fit.ratio) < std::abs(moment_ratio(0.63) - fit.ratio));
  CHECK(!fit.saturated);
  // Pooled over tensors, as over one.
  CHECK(fit_moments(weight_moments({narrow(eight_weights(), 0, 0, 3), narrow(eight_weights(), 0, 3, 5)})).ratio ==
        Approx(fit.ratio).epsilon(1e-15));
  // Beyond the ends of the table.
  ShapeFit flat = fit_moments(weight_moments({full({4}, 0.1, f64)})), spiky = fit_moments({1, 1, 200});
  CHECK(flat.shape == 3);
  CHECK(flat.saturated);
  CHECK(spiky.shape == 0.1);
  CHECK(!spiky.saturated);
  CHECK(fit_moments({1, 1, 1'000'000'000}).saturated);
}

TEST_CASE("generalised Gaussian: quantiles and entropies of unit variance have their worked values") {
  struct Row {
    double shape, entropy;
    std::vector<double> quantiles;
  };
  for (const Row& row :
       {Row{2, 1.418939, {0, 0.253347, 0.674490, 1.281552, 2.326348}}, Row{1, 1.346574, {0, 0.157786, 0.490129, 1.138045, 2.766218}},
        Row{0.5, 0.992548, {0, 0.0620402, 0.257142, 0.818469, 3.106924}}}) {
    CAPTURE(row.shape);
    GeneralizedGaussian unit = GeneralizedGaussian::of_variance(row.shape, 1);
    CHECK(unit.variance() == Approx(1).epsilon(1e-13));
    CHECK(unit.entropy() == Approx(row.entropy).epsilon(8e-7));
    std::vector<double> p{0.5, 0.6, 0.75, 0.9, 0.99};
    for (size_t i = 0; i < p.size(); ++i) {
      CHECK(unit.quantile(p[i]) == Approx(row.quantiles[i]).epsilon(1e-6));
      CHECK(unit.quantile(1 - p[i]) == Approx(-unit.quantile(p[i])).epsilon(1e-12));
    }
    for (double q : {1e-12, 0.001, 0.3, 0.4999, 0.51, 0.9999}) CHECK(unit.cdf(unit.quantile(q)) == Approx(q).epsilon(1e-11));
    // The density is the slope of the distribution function.
    for (double x : {-1.3, 0.2, 2.0}) {
      double slope = (unit.cdf(x + 1e-6) - unit.cdf(x - 1e-6)) / 2e-6;
      CHECK(std::exp(unit.log_density(x)) == Approx(slope).epsilon(1e-6));
    }
  }
}

TEST_CASE("gg_prior: starts have their worked scales, and draws their variance and shape") {
  CHECK(gg::start_of({100, 50}, {.shape = 2, .variance = 2}).scale == Approx(0.2).epsilon(1e-12));
  CHECK(gg::start_of({100, 50}, {.shape = 1, .variance = 2}).scale == Approx(0.1).epsilon(1e-12));
  CHECK(gg::start_of({64, 10}, {.shape = 0.5, .variance = 1}).scale * 100 == Approx(1.14109).epsilon(2.5e-6));
  CHECK(gg::start_of({10, 64}, {.shape = 0.5, .variance = 1, .fan = nn::init::Fan::in}).scale ==
        gg::start_of({64, 10}, {.shape = 0.5, .variance = 1}).scale);
  CHECK(gg::leaky_relu_variance(1) == gg::kLinearVariance);
  CHECK(gg::leaky_relu_variance(0) == gg::kReluVariance);
  Generator random(11);
  for (double shape : {2.0, 1.0, 0.5}) {
    CAPTURE(shape);
    Tensor w = zeros({1000, 1000});
    gg::initialize(w, {.shape = shape, .variance = 2}, random);
    WeightMoments m = weight_moments({w});
    CHECK(m.sum_squares / 1e6 == Approx(2.0 / 1000).epsilon(0.01));
    CHECK(fit_moments(m).ratio == Approx(moment_ratio(shape)).epsilon(0.02));
    CHECK(std::abs(mean(w).item()) < 5 * std::sqrt(2.0 / 1000 / 1e6));
  }
}

TEST_CASE("gg_prior: a model starts with drawn weights, kernels too, norms of 1 and biases of 0") {
  struct Net : nn::Module {
    nn::Conv2d conv{1, 8, 3};
    nn::LayerNorm norm{Shape{8}};
    nn::Linear head{8, 4};
    Net() {
      register_module("conv", conv);
      register_module("norm", norm);
      register_module("head", head);
      nn::init::constant(norm.weight, 3);
    }
  } net;
  Generator random(3);
  gg::initialize(net, {.shape = 1}, random);
  CHECK(to_vector(net.norm.weight) == std::vector<double>(8, 1));
  CHECK(to_vector(net.head.bias) == std::vector<double>(4, 0));
  CHECK(to_vector(net.conv.bias) == std::vector<double>(8, 0));
  CHECK(std_dev(net.conv.weight).item() == Approx(std::sqrt(2.0 / 72)).epsilon(0.35));  // 72 draws: 0.35 is 2.7 deviations
}

TEST_CASE("backslash: one step has its worked value, and zeros stay zeros") {
  Tensor w = eight_weights(), before = clone(w);
  ShapeFit fit = gg::backslash({w}, {.lambda = 0.008});
  CHECK(fit.shape == 0.62);
  check_close((before - w) * 1e3, {-0.531468, -0.597947, 0, 0.615352, 0.608611, 0.561168, -0.610828, 0.617660}, 1e-6);
  check_close(w, {-0.499469, -0.0994021, 0, 0.0193846, 0.0493914, 0.299439, -0.0393892, 0.00938234}, 2e-6);
  // λ counts per weight: twice the weights, twice λ, the same step.
  Tensor half = clone(before), other = clone(before);
  gg::backslash({half, other}, {.lambda = 0.016});
  check_close(half - w, std::vector<double>(8, 0), 1e-12);
  check_close(other - w, std::vector<double>(8, 0), 1e-12);
}

TEST_CASE("backslash: without lambda the training is the plain one to the last bit; with it, it is not") {
  manual_seed(5);
  mlp::Mlp start(mlp::MlpConfig{.inputs = 6, .hidden = {12}, .outputs = 4});
  Tensor x = randn({16, 6}), label = randint(0, 4, {16});
  auto trained = [&](double lambda, bool penalised) {
    mlp::Mlp net = start;
    optim::AdamW adamw(net.parameters(), {.lr = 1e-2});
    for (int step = 0; step < 5; ++step) {
      adamw.zero_grad();
      cross_entropy(net(x), label).backward();
      adamw.step();
      if (penalised) gg::backslash(net.parameters(), {.lambda = lambda});
    }
    std::vector<double> all;
    for (const Tensor& p : net.parameters())
      for (double v : to_vector(p)) all.push_back(v);
    return all;
  };
  CHECK(trained(0, true) == trained(0, false));
  CHECK(trained(0.1, true) != trained(0, false));
}

TEST_CASE("backslash: clipped steps flip no sign, unclipped ones do; a factor scales the step; tensors may have shapes of their own") {
  manual_seed(6);
  Tensor start = randn({200}, {.dtype = f64}) * 0.01, clipped = clone(start), plain = clone(start);
  gg::backslash({clipped}, {.lambda = 2, .clip = true});
  gg::backslash({plain}, {.lambda = 2});
  CHECK(all(clipped * start >= 0.0).item() == 1);
  CHECK(any(plain * start < 0.0).item() == 1);
  CHECK(to_vector<int64_t>(sum(to(clipped == 0.0, i64)))[0] > 20);
  Tensor whole = clone(start), twice = clone(start);
  gg::backslash({whole}, {.lambda = 0.02});
  gg::backslash({twice}, {.lambda = 0.01}, 2);
  check_close(whole - twice, std::vector<double>(200, 0), 1e-12);

  Tensor normal = randn({500}, {.dtype = f64}), spiky = normal * normal * normal, a = clone(spiky), b = clone(spiky);
  gg::backslash({normal, a}, {.lambda = 1, .per_tensor = true});
  gg::backslash({b}, {.lambda = 1});
  CHECK(to_vector(a) == to_vector(b));  // the last tensor's own shape and number
}

TEST_CASE("gg_prior: bits under the exact prior have their worked value and slope") {
  GeneralizedGaussian prior{0.5, 0.05};
  CHECK(-prior.log_density(0.02) == Approx(-0.976982).epsilon(1e-6));
  Tensor w = tensor({0.02}, f64).requires_grad_();
  Tensor bits = gg::rate_bits(w, prior, 1.0 / 128);
  CHECK(bits.item() == Approx(5.590512).epsilon(2e-7));
  CHECK(grad({bits}, {w})[0].item() * std::log(2.0) == Approx(15.811388).epsilon(1e-7));
  Tensor several = tensor({0.1, -0.02, 0.3}, f64).requires_grad_();
  GradcheckResult result =
      gradcheck([&](const std::vector<Tensor>& x) { return std::vector<Tensor>{gg::rate_bits(x[0], prior, 0.01)}; }, {several});
  CHECK_MESSAGE(result.passed, result.message);
  Tensor zero = zeros({2}, f64).requires_grad_();
  CHECK(to_vector(grad({gg::rate_bits(zero, prior, 0.01)}, {zero})[0]) == std::vector<double>{0, 0});
}

TEST_CASE("gg_prior: pruning takes the smallest weights of all tensors together") {
  Tensor a = tensor({0.5, -0.1, 0.2}), b = tensor({-0.05, 0.3, 0.1});
  gg::prune_smallest({a, b}, 0.5);
  CHECK(to_vector<float>(a) == std::vector<float>{0.5f, 0, 0.2f});
  CHECK(to_vector<float>(b) == std::vector<float>{0, 0.3f, 0});
}

TEST_CASE("gg_prior: bad input is told by its values") {
  Tensor w = eight_weights();
  CHECK_THROWS_WITH_AS(moment_ratio(0), "generalized_gaussian: shape must be positive, it is 0", ValueError);
  CHECK_THROWS_WITH_AS(gg::start_of({3, 4}, {.shape = -1}), "generalized_gaussian: shape must be positive, it is -1", ValueError);
  CHECK_THROWS_WITH_AS(gg::start_of({3}), "gg_prior: a weight has at least two dimensions, got [3]", ShapeError);
  CHECK_THROWS_WITH_AS(gg::start_of({3, 4}, {.variance = 0}), "gg_prior: the variance must be positive, it is 0", ValueError);
  CHECK_THROWS_WITH_AS((GeneralizedGaussian{1, 0}.cdf(1)), "generalized_gaussian: scale must be positive, it is 0", ValueError);
  CHECK_THROWS_WITH_AS(GeneralizedGaussian{}.quantile(1), "generalized_gaussian: a quantile is of p in (0, 1), got 1", ValueError);
  CHECK_THROWS_WITH_AS(gg::backslash({}), "backslash: there are no parameters", ValueError);
  CHECK_THROWS_WITH_AS(weight_moments({}), "weight_moments: there are no weights", ValueError);
  CHECK_THROWS_WITH_AS(gg::backslash({zeros({5})}), "fit_moments: all weights are 0; zeros have no shape", ValueError);
  CHECK_THROWS_WITH_AS(gg::backslash({w}, {.lambda = 1, .offset = 0}),
                       "backslash: with offset 0 the step at 0 is infinite for the fitted shape 0.62", ValueError);
  CHECK_THROWS_WITH_AS(gg::backslash({w}, {.lambda = -1}),
                       "backslash: lambda and offset must not be negative, they are -1 and 1", ValueError);
  CHECK(to_vector(w) == to_vector(eight_weights()));
  CHECK_THROWS_WITH_AS(gg::rate_bits(w, {1, 1}, 0), "rate_bits: the step must be positive, it is 0", ValueError);
  CHECK_THROWS_WITH_AS(gg::prune_smallest({w}, 1.5), "prune_smallest: the share must be in [0, 1], it is 1.5", ValueError);
}

TEST_CASE("gg_prior: the experiment runs: everything is measured, and BackSlash shortens the code") {
  Results results = run_experiment({"finetuning", "gg_prior", &gg::experiment, {}}, {.budget = Budget::smoke, .seeds = 1});
  CHECK(results.cells.size() == gg::experiment().variants.size());
  CHECK(measured(results, "plain", "test accuracy (%)") > 50);
  CHECK(measured(results, "BackSlash", "EG0 bits / weight") < measured(results, "plain", "EG0 bits / weight"));
  CHECK(measured(results, "plain", "EG0 bits / weight, DeepShape") < measured(results, "plain", "EG0 bits / weight"));
}

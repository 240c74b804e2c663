// EQ-Net: the regulariser, the guidance and the training step on worked numbers; the predictor; both experiments.
#include "methods/efficiency/eq_net/eq_net.h"

#include <doctest/doctest.h>

#include <cmath>

#include "engine/autograd/grad_mode.h"
#include "methods/efficiency/eq_net/elastic_cnn.h"
#include "methods/runner.h"
#include "models/metrics/correlation.h"
#include "ops/create.h"
#include "ops/gradcheck.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/shape.h"
#include "tests/methods/measured.h"

using namespace plumb;
using namespace plumb::methods;
using plumb::quantize::NetForm;
using plumb::quantize::SuperNet;

namespace plumb::methods::eq_net {
Experiment experiment();
}
namespace plumb::methods::eq_net_search {
Experiment experiment();
}

namespace {

Tensor example_weight() { return tensor({-2.0, -1.0, 0.0, 0.5, 1.0, 3.0}, f64); }

struct Trained {
  eq_net::Work work{.width = 4, .float_epochs = 2, .epochs = 1, .batch = 64, .calibration = 32};
  eq_net::Digits digits;
  eq_net::ElasticCnn network;

  Trained() : digits((manual_seed(1), eq_net::split_digits(400))), network(make()) {}
  eq_net::ElasticCnn make() {
    Generator g(1);
    return eq_net::make_float(digits, work, g);
  }
  Tensor x() const { return slice(digits.train_x, 0, 0, 16); }
  Tensor y() const { return slice(digits.train_y, 0, 0, 16); }
};

std::vector<double> gradients(eq_net::ElasticCnn& network) {
  std::vector<double> all;
  for (const Tensor& p : network.parameters()) {
    std::vector<double> own = p.grad().defined() ? to_vector(p.grad()) : std::vector<double>(static_cast<size_t>(p.numel()), 0.0);
    all.insert(all.end(), own.begin(), own.end());
  }
  return all;
}

}  // namespace

TEST_CASE("eq_net: kurtosis, skewness and the regulariser have their worked values") {
  Tensor w = example_weight();
  CHECK(eq_net::kurtosis(w).item() == doctest::Approx(1.61167).epsilon(3e-6));
  CHECK(eq_net::skewness(w).item() == doctest::Approx(0.255781).epsilon(3e-6));
  CHECK(eq_net::wdr_loss(std::vector<Tensor>{w}).item() == doctest::Approx(0.0659561).epsilon(3e-6));
  CHECK(eq_net::wdr_loss(std::vector<Tensor>{w}, {.skewness_rate = 0}).item() == doctest::Approx(0.015 * 0.0354667).epsilon(5e-6));
  CHECK(eq_net::kurtosis(linspace(0, 1, 1000, f64)).item() == doctest::Approx(1.79640).epsilon(3e-6));
  Tensor mirrored = tensor({2.0, 1.0, 0.0, -0.5, -1.0, -3.0}, f64);
  CHECK(eq_net::skewness(mirrored).item() == doctest::Approx(-0.255781).epsilon(3e-6));
  double two = eq_net::wdr_loss(std::vector<Tensor>{w, linspace(0, 1, 1000, f64)}).item();
  CHECK(two == doctest::Approx((0.0659561 + 0.015 * std::pow(1.79640 - 1.8, 2)) / 2).epsilon(1e-5));
}

TEST_CASE("eq_net: the regulariser's gradient is that of central differences, and nothing without deviation passes") {
  auto loss = [](const Tensor& w) { return eq_net::wdr_loss(std::vector<Tensor>{w}); };
  CHECK(gradcheck(loss, {example_weight()}).passed);
  CHECK_THROWS_WITH_AS(eq_net::kurtosis(ones({3})), "kurtosis: the standard deviation is 0", ValueError);
  CHECK_THROWS_WITH_AS(eq_net::skewness(ones({1})), "skewness: a tensor of 1 elements has no deviation", ValueError);
  CHECK_THROWS_WITH_AS(eq_net::wdr_loss(std::vector<Tensor>{}), "wdr_loss: there are no weights", ValueError);
}

TEST_CASE("eq_net: the guided loss has its worked value, and the teacher no gradient") {
  Tensor teacher = tensor({{2.0, 0.0, -1.0}}, f64).requires_grad_(), student = tensor({{1.0, 0.5, -0.5}}, f64).requires_grad_(),
         label = tensor({0});
  CHECK(eq_net::guided_loss(student, teacher, label, 1).item() == doctest::Approx(0.199977).epsilon(5e-6));
  CHECK(eq_net::guided_loss(student, teacher, label, 0).item() == doctest::Approx(0.604131).epsilon(3e-6));
  Tensor loss = eq_net::guided_loss(student, teacher, label);
  CHECK(loss.item() == doctest::Approx(0.402054).epsilon(3e-6));
  loss.backward();
  CHECK(student.grad().defined());
  CHECK_FALSE(teacher.grad().defined());
  CHECK_THROWS_AS(eq_net::guided_loss(student, teacher, label, 1.5), ValueError);
}

TEST_CASE("eq_net: the biggest sub-net alone without WDR is quantisation-aware training at 8 bits") {
  Trained t;
  SuperNet net(t.network);
  Generator g(4);
  auto forward = [&](const Tensor& x) { return t.network(x); };
  eq_net::StepOptions alone{.wdr = {.kurtosis_rate = 0, .skewness_rate = 0}, .subnets = 1};
  t.network.eval();
  eq_net::StepLosses losses = eq_net::accumulate_gradients(net, forward, t.x(), t.y(), alone, g);
  CHECK(losses.wdr == 0);
  auto step = gradients(t.network);
  for (const auto& f : net.form()) CHECK((f.weight_bits == 8 && f.activation_bits == 8));
  t.network.zero_grad();
  Tensor plain = cross_entropy(t.network(t.x()), t.y());
  plain.backward();
  CHECK(plain.item() == losses.biggest);
  CHECK(gradients(t.network) == step);
}

TEST_CASE("eq_net: a step adds up WDR and three sub-nets, each taught by the one before") {
  Trained t;
  SuperNet net(t.network);
  t.network.eval();
  auto forward = [&](const Tensor& x) { return t.network(x); };
  Generator drawn(9), again(9);
  eq_net::StepLosses losses = eq_net::accumulate_gradients(net, forward, t.x(), t.y(), {}, drawn);
  auto step = gradients(t.network);
  t.network.zero_grad();
  Tensor wdr = eq_net::wdr_loss(net);
  wdr.backward();
  CHECK(wdr.item() == doctest::Approx(losses.wdr));
  Tensor teacher;
  for (int k = 0; k < 3; ++k) {
    net.set(k == 0 ? net.biggest(again) : k == 1 ? net.random(again) : net.smallest(again));
    Tensor z = t.network(t.x());
    Tensor loss = k == 0 ? cross_entropy(z, t.y()) : eq_net::guided_loss(z, teacher, t.y());
    loss.backward();
    CHECK(loss.item() == doctest::Approx(k == 0 ? losses.biggest : k == 1 ? losses.random : losses.smallest));
    teacher = z.detach();
  }
  auto by_hand = gradients(t.network);
  for (size_t i = 0; i < step.size(); ++i) CHECK(step[i] == doctest::Approx(by_hand[i]).epsilon(1e-5).scale(1e-3));
  CHECK_THROWS_WITH_AS(eq_net::accumulate_gradients(net, forward, t.x(), t.y(), {.subnets = 4}, drawn),
                       "eq_net: a step has 1 to 3 sub-nets, not 4", ValueError);
}

TEST_CASE("eq_net: taught by 8 bits and labels alone differ from the method in the last sub-net and in both") {
  Trained t;
  SuperNet net(t.network);
  t.network.eval();
  auto forward = [&](const Tensor& x) { return t.network(x); };
  auto losses = [&](eq_net::Guidance guidance) {
    Generator g(9);
    return eq_net::accumulate_gradients(net, forward, t.x(), t.y(), {.guidance = guidance}, g);
  };
  auto method = losses(eq_net::Guidance::progressive), eight = losses(eq_net::Guidance::biggest), labels = losses(eq_net::Guidance::none);
  CHECK(eight.random == method.random);
  CHECK(eight.smallest != method.smallest);
  CHECK(labels.biggest == method.biggest);
  CHECK(labels.random != method.random);
}

TEST_CASE("eq_net: features of a form") {
  NetForm form(4);
  for (auto& f : form) f.per_channel = false, f.weight_symmetric = true, f.activation_symmetric = false;
  form[1].weight_bits = 2, form[1].activation_bits = 8, form[2].weight_bits = 5, form[2].activation_bits = 3;
  auto x = eq_net::form_features(form);
  REQUIRE(x.size() == 6 + 14 * 4);
  std::vector<size_t> set;
  for (size_t i = 0; i < x.size(); ++i)
    if (x[i] != 0) set.push_back(i);
  CHECK(set == std::vector<size_t>{1, 2, 6 + 7 + 0, 6 + 14 + 3, 6 + 28 + 7 + 6, 6 + 28 + 14 + 1});
  form[1].weight_bits = 1;
  CHECK_THROWS_WITH_AS(eq_net::form_features(form), "quantize: 1 bits are not supported; choose 2 to 8", ValueError);
  CHECK_THROWS_AS(eq_net::form_features(NetForm(2)), ValueError);
}

TEST_CASE("eq_net: the predictor learns which bits matter") {
  Generator g(2);
  manual_seed(3);
  auto draw = [&](size_t count) {
    std::vector<NetForm> forms(count, NetForm(4));
    for (NetForm& form : forms)
      for (auto& f : form) f.weight_bits = 2 + static_cast<int>(g.next_below(7)), f.activation_bits = 2 + static_cast<int>(g.next_below(7));
    return forms;
  };
  auto worth = [](const std::vector<NetForm>& forms) {
    std::vector<double> out;
    for (const NetForm& f : forms) out.push_back(80 + 3.0 * f[1].weight_bits + f[2].activation_bits);
    return out;
  };
  auto train = draw(120), test = draw(60);
  eq_net::AccuracyPredictor predictor(4, {.hidden = 3, .width = 48, .lr = 2e-3, .epochs = 150});
  double loss = predictor.fit(train, worth(train), g);
  CHECK(loss < 1.5);
  CHECK(kendall_correlation(predictor(test), worth(test)) > 0.6);
  CHECK(predictor(std::vector<NetForm>{}).empty());
  CHECK_THROWS_WITH_AS(predictor.fit({}, {}, g), "eq_net: the predictor has nothing to learn from", ValueError);
  CHECK_THROWS_WITH_AS(predictor.fit(train, {1.0}, g), "eq_net: 1 accuracies for 120 forms", ValueError);
}

TEST_CASE("eq_net: the experiment measures every variant at the smoke budget") {
  Results results = run_experiment({"efficiency", "eq_net", &eq_net::experiment, {}}, {.budget = Budget::smoke, .seeds = 1});
  REQUIRE(results.cells.size() == 8);
  for (const CellResult& cell : results.cells) {
    CAPTURE(cell.variant);
    CHECK(measured(results, cell.variant, "8 bits (%)") > 25);  // chance is 10
    CHECK(measured(results, cell.variant, "2 bits, worst form (%)") <= measured(results, cell.variant, "2 bits (%)") + 1e-9);
  }
}

TEST_CASE("eq_net: the search at the smoke budget keeps within its budgets of bits") {
  Results results = run_experiment({"efficiency", "eq_net_search", &eq_net_search::experiment, {}}, {.budget = Budget::smoke, .seeds = 1});
  REQUIRE(results.cells.size() == 3);
  for (const CellResult& cell : results.cells)
    for (int bits : {3, 4})
      for (const char* of : {"weights", "activations"}) {
        double average = measured(results, cell.variant, std::to_string(bits) + " bits, of " + of);
        CHECK(average <= bits);
        CHECK(average > bits - 0.5);
      }
  CHECK(measured(results, "uniform", "3 bits, of weights") == 3);
  CHECK(measured(results, "predictor + genetic search", "networks measured") == 6);
}

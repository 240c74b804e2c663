// EATA: the worked examples, the loss's derivative, what adaptation may and may not touch, and the experiment in small.
#include "methods/continual/eata/eata.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/core/generator.h"
#include "methods/runner.h"
#include "models/nn/batch_statistics.h"
#include "models/nn/conv.h"
#include "models/nn/linear.h"
#include "models/nn/norm.h"
#include "ops/activation.h"
#include "ops/elementary.h"
#include "ops/gradcheck.h"
#include "ops/index.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/pool.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"

using namespace plumb;
using namespace plumb::methods;
using namespace plumb::methods::eata;
namespace plumb::methods::eata {
Experiment experiment();
}
using Numbers = std::vector<double>;
using doctest::Approx;

namespace {

const EataOptions kWorked{.e0 = 0.6, .d_margin = 0.6};  // E0 = 0.6 ln 3 = 0.659167
Tensor worked_logits() { return tensor({{2.0, 0.0, -1.0}, {0.2, 0.1, 0.0}, {0.0, 3.0, 0.0}, {0.0, 4.0, 1.0}}, f64); }

void check_close(const Tensor& x, const Numbers& expected, double tolerance = 1e-6) {
  Numbers v = to_vector(x);
  REQUIRE(v.size() == expected.size());
  for (size_t i = 0; i < v.size(); ++i) CHECK(std::abs(v[i] - expected[i]) < tolerance);
}

struct Net : nn::Module {
  nn::Conv2d conv{this, "conv", 1, 4, 3, {.padding = 1}};
  nn::BatchNorm2d norm1{this, "norm1", 4};
  nn::Linear hidden{this, "hidden", 4, 6};
  nn::BatchNorm norm2{this, "norm2", 6};
  nn::Linear head{this, "head", 6, 5};
  Tensor operator()(const Tensor& x) const { return head(relu(norm2(hidden(global_avg_pool(relu(norm1(conv(x)))))))); }
};

struct Trial {
  Net net;
  FisherDiagonal fisher;
  explicit Trial(uint64_t seed = 1) : net((manual_seed(seed), Net())) {
    for (int i = 0; i < 3; ++i) net(randn({16, 1, 6, 6}) * 2);  // running statistics that are not the batch's
    copy_data(randn({5, 6}) * 4, net.head.weight);              // predictions sure enough to be reliable
    fisher = eata_fisher(net, [this](const Tensor& x) { return net(x); }, randn({40, 1, 6, 6}), 16);
  }
};

using State = std::map<std::string, Numbers>;
State numbers(const nn::Module& m) {
  State s;
  for (const auto& [name, tensor] : m.state()) s[name] = to_vector(tensor);
  return s;
}
bool adapts(const std::string& name) {
  return name == "norm1.weight" || name == "norm1.bias" || name == "norm2.weight" || name == "norm2.bias";
}

}  // namespace

TEST_CASE("eata: the worked example: who is selected, with which weight, loss, mean and gradient") {
  Tensor logits = worked_logits().requires_grad_();
  Selection s = select_samples(logits, tensor({0.7, 0.2, 0.1}, f64), kWorked);
  CHECK(to_vector<int64_t>(s.reliable) == std::vector<int64_t>{0, 2, 3});
  CHECK(to_vector<int64_t>(s.selected) == std::vector<int64_t>{2, 3});
  check_close(s.weight, {1.339871, 1.469400});
  check_close(s.mean, {0.633121, 0.272284, 0.094595});
  Tensor loss = selected_entropy(logits, s);
  check_close(loss, {0.447132});
  loss.backward();
  check_close(logits.grad(), {0, 0, 0, 0, 0, 0, 0.0827603, -0.165521, 0.0827603, 0.0477681, -0.143369, 0.0956010});
  // The cosines 0.985989, 0.830502, 0.325561, 0.295972: a margin on either side of each of the reliable ones.
  for (auto [margin, count] : {std::pair{0.29597, 0}, {0.29598, 1}, {0.32556, 1}, {0.32557, 2}, {0.98598, 2}, {0.98600, 3}}) {
    CAPTURE(margin);
    CHECK(select_samples(logits, tensor({0.7, 0.2, 0.1}, f64), {.e0 = 0.6, .d_margin = margin}).selected.numel() == count);
  }
}

TEST_CASE("eata: without a mean prediction every reliable sample is selected, and begins it") {
  Tensor logits = worked_logits();
  Selection s = select_samples(logits, {}, kWorked);
  CHECK(to_vector<int64_t>(s.selected) == std::vector<int64_t>{0, 2, 3});
  check_close(selected_entropy(logits, s), {0.498082});
  check_close(s.mean, {0.302074, 0.653293, 0.044634});
}

TEST_CASE("eata: weights are constants to the derivative") {
  Tensor mean = tensor({0.7, 0.2, 0.1}, f64);
  Selection s = select_samples(worked_logits(), mean, kWorked);
  CHECK(gradcheck([&](const Tensor& z) { return selected_entropy(z, s); }, {worked_logits()}).passed);
  // With weights that follow the logits the slope is another one: the check sees the stop-gradient.
  CHECK_FALSE(gradcheck([&](const Tensor& z) { return selected_entropy(z, select_samples(z, mean, kWorked)); }, {worked_logits()}).passed);
}

TEST_CASE("eata: an empty selection is a loss of 0, not NaN, and no step: not even the penalty's") {
  Tensor logits = worked_logits();
  Selection none = select_samples(logits, {}, {.e0 = 0});
  CHECK(none.selected.numel() == 0);
  CHECK_FALSE(none.mean.defined());
  CHECK(selected_entropy(logits, none).item() == 0);
  CHECK(std::isnan(plumb::mean(index_select(softmax_entropy(logits), 0, none.selected)).item()));  // what a plain mean would say
  Trial trial;
  TestTimeAdapter adapter(trial.net, {.eata = {.e0 = 0}}, trial.fisher);
  copy_data(full({4}, 1.5), trial.net.norm1.weight);  // away from the anchor
  State before = numbers(trial.net);
  for (int i = 0; i < 3; ++i) adapter.forward(randn({8, 1, 6, 6}));
  CHECK(numbers(trial.net) == before);
  CHECK(adapter.counters().updates == 0);
  CHECK(adapter.counters().samples == 24);
  CHECK(adapter.counters().selected_per_batch == std::vector<int64_t>{0, 0, 0});
  CHECK_FALSE(adapter.mean_prediction().defined());
}

TEST_CASE("eata: with everything reliable, nothing redundant, no penalty and w = 1 it is Tent, bit for bit") {
  Trial a, b;
  REQUIRE(numbers(a.net) == numbers(b.net));
  optim::SgdOptions sgd{.lr = 0.05, .momentum = 0.9};
  EataOptions all{.e0 = std::numeric_limits<double>::infinity(), .d_margin = 1.1, .fisher_weight = 0, .weighted = false};
  TestTimeAdapter tent(a.net, {.mode = Mode::tent, .sgd = sgd}), eata(b.net, {.mode = Mode::eata, .eata = all, .sgd = sgd});
  State source = numbers(a.net);
  for (int i = 0; i < 4; ++i) {
    Tensor x = randn({16, 1, 6, 6});
    CHECK(to_vector(tent.forward(x)) == to_vector(eata.forward(x)));
  }
  CHECK(numbers(a.net) == numbers(b.net));
  CHECK(numbers(a.net) != source);
  CHECK(tent.counters().selected == 64);
  CHECK(eata.counters().selected == 64);
}

TEST_CASE("eata: only scales and shifts of batch norm move; running averages and all else keep their bits") {
  for (Mode mode : {Mode::source, Mode::bn, Mode::tent, Mode::eta, Mode::eata}) {
    CAPTURE(static_cast<int>(mode));
    Trial trial;
    State before = numbers(trial.net);
    TestTimeAdapter adapter(trial.net,
                            {.mode = mode, .eata = {.e0 = 0.8, .d_margin = 0.95, .fisher_weight = 1}, .sgd = {.lr = 0.05, .momentum = 0.9}},
                            trial.fisher);
    for (int i = 0; i < 6; ++i) adapter.forward(randn({16, 1, 6, 6}));
    bool moves = mode != Mode::source && mode != Mode::bn;
    CHECK((adapter.counters().updates > 0) == moves);
    for (const auto& [name, values] : numbers(trial.net)) {
      CAPTURE(name);
      CHECK((values != before[name]) == (moves && adapts(name)));
    }
    CHECK_FALSE(trial.net.conv.weight.grad().defined());
    CHECK(adapter.counters().batches == 6);
    if (mode == Mode::eata) CHECK(adapter.counters().selected <= adapter.counters().reliable);
  }
}

TEST_CASE("eata: the answer is that of the weights before the step, by the statistics of the batch") {
  Trial trial;
  Net before = trial.net;
  TestTimeAdapter adapter(trial.net, {.eata = {.e0 = 0.9, .d_margin = 1.1, .fisher_weight = 1}, .sgd = {.lr = 0.1, .momentum = 0.9}},
                          trial.fisher);
  Tensor x = randn({16, 1, 6, 6}), answer = adapter.forward(x);
  {
    nn::BatchStatistics by_batch;
    CHECK(to_vector(answer) == to_vector(before(x)));
    CHECK(to_vector(answer) != to_vector(trial.net(x)));
  }
  CHECK_FALSE(answer.requires_grad());
  before.eval();
  Net plain = before;
  CHECK(to_vector(TestTimeAdapter(plain, {.mode = Mode::source}).forward(x)) == to_vector(before(x)));
}

TEST_CASE("eata: reset gives back parameters, momentum and an unset mean prediction") {
  Trial trial;
  State source = numbers(trial.net);
  TestTimeAdapter adapter(trial.net, {.eata = {.e0 = 0.9, .d_margin = 1.1, .fisher_weight = 1}, .sgd = {.lr = 0.1, .momentum = 0.9}},
                          trial.fisher);
  std::vector<Tensor> stream;
  for (int i = 0; i < 3; ++i) stream.push_back(randn({16, 1, 6, 6}));
  for (const Tensor& x : stream) adapter.forward(x);
  State after = numbers(trial.net);
  CHECK(after != source);
  REQUIRE(adapter.mean_prediction().defined());
  double total = 0;
  for (double v : to_vector(adapter.mean_prediction())) total += v;
  CHECK(total == Approx(1).epsilon(1e-5));
  adapter.reset();
  CHECK(numbers(trial.net) == source);
  CHECK_FALSE(adapter.mean_prediction().defined());
  for (const Tensor& x : stream) adapter.forward(x);
  CHECK(numbers(trial.net) == after);  // a momentum or a mean that was left over would show
  CHECK(adapter.counters().batches == 6);
}

TEST_CASE("eata: several steps a batch, and the pull of the Fisher penalty") {
  auto distance = [](double ratio, int64_t steps) {
    Trial trial;
    double beta = ratio / (0.02 * trial.fisher.largest());
    Net source = trial.net;
    TestTimeAdapter adapter(
        trial.net, {.eata = {.e0 = 0.9, .d_margin = 1.1, .fisher_weight = beta, .steps = steps}, .sgd = {.lr = 0.02, .momentum = 0}},
        trial.fisher);
    for (int i = 0; i < 10; ++i) adapter.forward(randn({16, 1, 6, 6}));
    CHECK(adapter.counters().updates == 10 * steps);
    double sum = 0;
    for (size_t k = 0; k < trial.fisher.omega.size(); ++k) {
      Tensor moved = batch_norm_parameters(trial.net)[k].tensor - batch_norm_parameters(source)[k].tensor;
      sum += plumb::sum(trial.fisher.omega[k] * square(moved)).item();
    }
    return sum;
  };
  double free = distance(0, 1);
  CHECK(free > 0);
  CHECK(distance(0.5, 1) < 0.9 * free);
  CHECK(distance(0, 3) > free);
}

TEST_CASE("eata: the Fisher diagonal is that of the mean loss of batches under their own statistics and the model's own labels") {
  Trial trial;
  CHECK(trial.fisher.names == std::vector<std::string>{"norm1.weight", "norm1.bias", "norm2.weight", "norm2.bias"});
  CHECK(to_vector(trial.fisher.origin[0]) == to_vector(trial.net.norm1.weight));
  CHECK_FALSE(trial.net.conv.weight.requires_grad());
  Tensor x = randn({24, 1, 6, 6});
  FisherDiagonal fisher = eata_fisher(trial.net, [&](const Tensor& images) { return trial.net(images); }, x, 16);
  Numbers expected(6, 0.0);
  nn::BatchStatistics by_batch;
  for (auto [first, last] : {std::pair<int64_t, int64_t>{0, 16}, {16, 24}}) {
    trial.net.zero_grad();
    Tensor logits = trial.net(slice(x, 0, first, last));
    cross_entropy(logits, argmax(logits.detach(), 1)).backward();
    Numbers g = to_vector(trial.net.norm2.weight.grad());
    for (size_t k = 0; k < 6; ++k) expected[k] += g[k] * g[k] / 2;
  }
  Numbers omega = to_vector(fisher.omega[2]);
  for (size_t k = 0; k < 6; ++k) CHECK(omega[k] == Approx(expected[k]).epsilon(1e-4));
  CHECK(*std::ranges::max_element(expected) > 0);
}

TEST_CASE("eata: bad input is an error that names it") {
  struct Plain : nn::Module {
    nn::Linear head{this, "head", 4, 3};
    Tensor operator()(const Tensor& x) const { return head(x); }
  } plain;
  CHECK_THROWS_WITH_AS(TestTimeAdapter(plain, {.mode = Mode::tent}),
                       "eata: the model has no batch-norm layer with a scale and a shift to adapt", ValueError);
  Trial trial;
  auto with = [&](EataOptions o) { TestTimeAdapter(trial.net, AdapterOptions{.eata = o}, trial.fisher); };
  CHECK_THROWS_WITH_AS(with({.d_margin = -0.1}), "eata: d_margin is -0.1, it must not be negative", ValueError);
  CHECK_THROWS_WITH_AS(with({.fisher_weight = -2}), "eata: fisher_weight is -2, it must not be negative", ValueError);
  CHECK_THROWS_WITH_AS(with({.momentum_m = 1.5}), "eata: momentum_m is 1.5, it must lie in [0, 1]", ValueError);
  CHECK_THROWS_WITH_AS(with({.steps = 0}), "eata: steps is 0, it must be at least 1", ValueError);
  CHECK_THROWS_WITH_AS(TestTimeAdapter(trial.net, {.mode = Mode::eata}),
                       "eata: a positive fisher_weight needs the Fisher diagonal of the clean training distribution", ValueError);
  FisherDiagonal wrong = trial.fisher;
  wrong.omega[0] = ones({3});
  CHECK_THROWS_WITH_AS(TestTimeAdapter(trial.net, {}, wrong), "anchor: parameter 0 is [4], its importance [3]", ShapeError);
  TestTimeAdapter adapter(trial.net, {.mode = Mode::tent});
  CHECK_THROWS_WITH_AS(adapter.forward(randn({1, 1, 6, 6})), "batch_norm_training: a channel needs two elements or more, x is [1, 6]",
                       ValueError);
  CHECK_THROWS_WITH_AS(select_samples(zeros({4, 1}), {}, {}), "softmax_entropy: [4, 1] has fewer than two classes", ValueError);
  CHECK_THROWS_WITH_AS(select_samples(zeros({4}), {}, {}), "eata: logits must be [B, C], they are [4]", ShapeError);
  CHECK_THROWS_WITH_AS(select_samples(zeros({4, 3}), zeros({2}), {}), "eata: the mean prediction is [2] for logits [4, 3]", ShapeError);
}

TEST_CASE("eata: the experiment in small measures every variant, and EATA selects fewer samples than Tent") {
  Results results = run_experiment({"continual", "eata", &experiment, {}}, {.budget = Budget::smoke, .seeds = 1});
  REQUIRE(results.cells.size() == 5);
  auto value = [&](const std::string& variant, const std::string& metric) {
    for (const CellResult& cell : results.cells)
      for (const auto& [name, number] : cell.measured.metrics)
        if (cell.variant == variant && name == metric) return number;
    return std::nan("");
  };
  CHECK(value("source", "samples back-propagated (%)") == 0);
  CHECK(value("Tent", "samples back-propagated (%)") == 100);
  CHECK(value("EATA", "samples back-propagated (%)") > 0);
  CHECK(value("EATA", "samples back-propagated (%)") < 90);
  CHECK(value("source", "clean error after the stream (%)") < 40);  // 90 by chance: the network was trained
  CHECK(value("BN adapt", "corruption error (%)") < value("source", "corruption error (%)"));
  CHECK(value("EATA", "corruption error (%)") < 90);
  CHECK(value("EATA", "beta chosen") >= 1);
}

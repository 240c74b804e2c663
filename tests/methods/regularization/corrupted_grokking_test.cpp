// Corrupted grokking: counts, the network and its gradients by worked numbers, phases, pruning, and the experiment in small.
#include "methods/regularization/corrupted_grokking/corrupted_grokking.h"

#include <doctest/doctest.h>

#include <cmath>
#include <set>

#include "engine/autograd/backward.h"
#include "engine/core/generator.h"
#include "methods/runner.h"
#include "models/optim/adam.h"
#include "ops/gradcheck.h"
#include "ops/index.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "tests/methods/check_close.h"
#include "tests/methods/measured.h"

using namespace plumb;
using namespace plumb::methods;
using namespace plumb::methods::corrupted_grokking;

namespace {

void set(nn::Parameter& parameter, const Tensor& value) { copy_data(value, parameter); }

// U = [[1, 0], [0.5, −1]], V = [[0, 2], [1, 1]], W = [[1, −1], [0.5, 2]], a row a neuron (of W: an output).
QuadraticMlp worked() {
  QuadraticMlp network({.modulus = 2, .width = 2, .dtype = f64});
  set(network.first, tensor({{1.0, 0.5}, {0.0, -1.0}, {0.0, 1.0}, {2.0, 1.0}}, f64));
  set(network.second, tensor({{1.0, 0.5}, {-1.0, 2.0}}, f64));
  return network;
}

Tensor all_pairs(int64_t p) {
  std::vector<int64_t> pairs;
  for (int64_t a = 0; a < p; ++a)
    for (int64_t b = 0; b < p; ++b) pairs.insert(pairs.end(), {a, p + b});
  return from_vector(pairs, {p * p, 2});
}

bool checks_out(const QuadraticMlp& network, const CorruptedTable& table) {
  auto loss = [&](const Tensor& first, const Tensor& second) {
    QuadraticMlp other = network;  // its running statistics move, its mask is that of the seed
    other.first = first;
    other.second = second;
    manual_seed(11);
    return one_hot_error(other(table.train.pairs), table.train.labels);
  };
  GradcheckResult result = gradcheck(loss, {network.first.detach(), network.second.detach()}, {.rtol = 1e-6});
  CAPTURE(result.message);
  return result.passed;
}

}  // namespace

TEST_CASE("corrupted_table: counts of the published settings, and only training labels are wrong") {
  CorruptedTable large = corrupted_table({.modulus = 97, .train = 0.5, .corruption = 0.35});
  CHECK(large.train.size() == 4704);
  CHECK(large.corrupted == 1646);
  CHECK(large.test.size() == 97 * 97 - 4704);
  CorruptedTable table = corrupted_table({.modulus = 53, .train = 0.6, .corruption = 0.2, .seed = 4});
  CHECK(table.train.size() == 1685);
  CHECK(table.corrupted == 337);

  std::set<std::pair<int64_t, int64_t>> seen;
  auto sums = [&](const PairExamples& part) {
    std::vector<int64_t> pairs = to_vector<int64_t>(part.pairs), out;
    for (size_t i = 0; i < pairs.size(); i += 2) {
      CHECK(seen.insert({pairs[i], pairs[i + 1] - 53}).second);
      out.push_back((pairs[i] + pairs[i + 1] - 53) % 53);
    }
    return out;
  };
  std::vector<int64_t> train = sums(table.train), given = to_vector<int64_t>(table.train.labels);
  CHECK(sums(table.test) == to_vector<int64_t>(table.test.labels));
  CHECK(seen.size() == 53 * 53);
  CHECK(train == to_vector<int64_t>(table.truth));
  int64_t changed = 0;
  for (size_t i = 0; i < given.size(); ++i) {
    if (i >= 337) CHECK(given[i] == train[i]);
    CHECK((given[i] >= 0 && given[i] < 53));
    changed += given[i] != train[i];
  }
  CHECK(changed > 337 - 30);  // one in 53 stays right by chance: 6.4 expected, 30 is nine deviations more
  CHECK(changed <= 337);
}

TEST_CASE("corrupted_table: the limits of corruption, other operations, seeds") {
  CorruptedTable clean = corrupted_table({.modulus = 11, .corruption = 0});
  CHECK(clean.corrupted == 0);
  CHECK(to_vector<int64_t>(clean.train.labels) == to_vector<int64_t>(clean.truth));
  CorruptedTable wrong = corrupted_table({.modulus = 11, .corruption = 1});
  CHECK(wrong.corrupted == wrong.train.size());
  CHECK(to_vector<int64_t>(wrong.train.labels) != to_vector<int64_t>(wrong.truth));
  CorruptedTable products = corrupted_table({.modulus = 7, .operation = data::ModularOperation::multiply, .corruption = 0});
  std::vector<int64_t> pairs = to_vector<int64_t>(products.train.pairs), labels = to_vector<int64_t>(products.train.labels);
  for (size_t i = 0; i < labels.size(); ++i) CHECK(labels[i] == pairs[2 * i] * (pairs[2 * i + 1] - 7) % 7);
  CHECK(corrupted_table({.modulus = 100, .train = 0.29, .corruption = 0}).train.size() == 2900);  // although 0.29 · 10000 is a little less
  CHECK(to_vector<int64_t>(corrupted_table({.modulus = 11, .seed = 1}).train.pairs) != to_vector<int64_t>(wrong.train.pairs));

  CHECK_THROWS_WITH_AS(corrupted_table({.modulus = 1}), "corrupted_table: the modulus 1 is outside [2, 65535]", ValueError);
  CHECK_THROWS_WITH_AS(corrupted_table({.train = 0}), "corrupted_table: the training share 0 is outside (0, 1)", ValueError);
  CHECK_THROWS_WITH_AS(corrupted_table({.train = 1}), "corrupted_table: the training share 1 is outside (0, 1)", ValueError);
  CHECK_THROWS_WITH_AS(corrupted_table({.corruption = 1.5}), "corrupted_table: the corrupted share 1.5 is outside [0, 1]", ValueError);
  CHECK_THROWS_AS(corrupted_table({.corruption = NAN}), ValueError);
  CHECK_THROWS_WITH_AS(corrupted_table({.modulus = 2, .train = 0.1}),
                       "corrupted_table: the training share 0.1 leaves a part of 4 entries empty", ValueError);
}

TEST_CASE("quadratic_mlp: worked outputs, its start, and mistakes") {
  QuadraticMlp network = worked();
  check_close(network(tensor({{0, 2}, {0, 3}, {1, 3}})), {-1.25, 5, 6.75, 9, 4, 2}, 1e-12);
  manual_seed(0);
  QuadraticMlp fresh({.modulus = 97, .width = 500});
  for (const Tensor& p : {Tensor(fresh.first), Tensor(fresh.second)}) {
    double squares = 0;
    for (double v : to_vector(p)) squares += v * v;
    CHECK(std::sqrt(squares / static_cast<double>(p.numel())) == doctest::Approx(0.05).epsilon(0.02));  // s = 0.05 at N = 500
  }
  CHECK_THROWS_WITH_AS(QuadraticMlp({.modulus = 1}), "quadratic_mlp: the modulus 1 is below 2", ValueError);
  CHECK_THROWS_WITH_AS(QuadraticMlp({.width = 0}), "quadratic_mlp: 0 neurons", ValueError);
  CHECK_THROWS_WITH_AS(QuadraticMlp({.dropout = 1}), "quadratic_mlp: dropout 1 is outside [0, 1)", ValueError);
}

TEST_CASE("quadratic_mlp: gradients, also through dropout with a fixed mask and through batch norm") {
  manual_seed(2);
  CorruptedTable table = corrupted_table({.modulus = 5, .train = 0.6, .corruption = 0.3});
  CHECK(checks_out(QuadraticMlp({.modulus = 5, .width = 6, .dtype = f64}), table));
  CHECK(checks_out(QuadraticMlp({.modulus = 5, .width = 6, .dropout = 0.4, .dtype = f64}), table));
  CHECK(checks_out(QuadraticMlp({.modulus = 5, .width = 6, .batch_norm = true, .dtype = f64}), table));
}

TEST_CASE("quadratic_mlp: dropout zeroes or doubles what is squared, and is off in evaluation mode") {
  QuadraticMlp network({.modulus = 3, .width = 1, .dropout = 0.5, .dtype = f64});
  set(network.first, full({6, 1}, 1, f64));
  set(network.second, full({1, 3}, 1, f64));
  manual_seed(3);
  std::set<double> values;
  for (double v : to_vector(network(all_pairs(3)))) values.insert(v);
  CHECK(values == std::set<double>{0, 16});  // (2 · (1 + 1))²; after the square it would be 8
  network.eval();
  for (double v : to_vector(network(all_pairs(3)))) CHECK(v == 4);
}

TEST_CASE("one_hot_error: outputs of 0 and of 1/p") {
  Tensor labels = tensor({0, 5, 96});
  CHECK(one_hot_error(zeros({3, 97}, f64), labels).item() == doctest::Approx(0.0103092784).epsilon(1e-8));
  CHECK(one_hot_error(full({3, 97}, 1.0 / 97, f64), labels).item() == doctest::Approx(0.0102029971).epsilon(1e-8));
}

TEST_CASE("analytic_solution: adds modulo 13 without error, with neurons of a single frequency") {
  QuadraticMlp network = analytic_solution(13, 600, 1);
  CorruptedTable table = corrupted_table({.modulus = 13, .corruption = 0});
  GrokReport r = report(network, table);
  CHECK(r.train == 1);
  CHECK(r.test == 1);
  CHECK(std::isnan(r.corrupted));
  CHECK(r.clean == 1);
  for (double ipr : neuron_ipr(network)) CHECK(std::abs(ipr - 1) < 1e-12);
}

TEST_CASE("report: wrong labels are held against what was given and against the truth") {
  QuadraticMlp network = analytic_solution(13, 600, 2);
  CorruptedTable table = corrupted_table({.modulus = 13, .train = 0.8, .corruption = 0.5, .seed = 3});
  network.train();
  GrokReport r = report(network, table);
  CHECK(network.training());
  CHECK(r.corrupted_true == 1);
  CHECK(r.clean == 1);
  CHECK(r.test == 1);
  double right = 0;
  std::vector<int64_t> given = to_vector<int64_t>(table.train.labels), truth = to_vector<int64_t>(table.truth);
  for (int64_t i = 0; i < table.corrupted; ++i) right += given[static_cast<size_t>(i)] == truth[static_cast<size_t>(i)];
  CHECK(r.corrupted == doctest::Approx(right / static_cast<double>(table.corrupted)));
  CHECK(classify(r) == (r.corrupted <= 0.1 ? Phase::full_inversion : Phase::partial_inversion));
}

TEST_CASE("classify: every phase, at its limits") {
  auto phase = [](double train, double corrupted, double test) { return classify({.train = train, .corrupted = corrupted, .test = test}); };
  CHECK(phase(0.978, 0.95, 0.983) == Phase::coexistence);
  CHECK(phase(0.9, 0.9, 0.9) == Phase::coexistence);
  CHECK(phase(0.786, 0.4, 1) == Phase::partial_inversion);
  CHECK(phase(0.654, 0.01, 1) == Phase::full_inversion);
  CHECK(phase(0.8, 0.1, 1) == Phase::full_inversion);
  CHECK(phase(1, 1, 0.11) == Phase::memorisation);
  CHECK(phase(0.009, 0.01, 0.011) == Phase::forgetting);
  CHECK(phase(0.5, 0.4, 0.3) == Phase::confusion);
  CHECK(phase(0.1, 0.1, 0.5) == Phase::confusion);
  CHECK(phase(1, NAN, 1) == Phase::coexistence);  // nothing was redrawn: the training accuracy counts
  CHECK(phase(1, NAN, 0.1) == Phase::memorisation);
  CHECK(name(Phase::partial_inversion) == "partial inversion");
}

TEST_CASE("neuron_ipr: the mean of a neuron's three vectors; a dead neuron has none") {
  QuadraticMlp network({.modulus = 7, .width = 2, .dtype = f64});
  auto wave = [](size_t m) { return std::cos(2 * 3.14159265358979323846 * 2 * static_cast<double>(m) / 7); };
  std::vector<double> first(28), second(14), mixed{1, -2, 0.5, 3, -1, 0, 2};
  for (size_t m = 0; m < 7; ++m) {
    first[2 * m] = wave(m);       // U of neuron 0: ratio 1
    first[2 * (7 + m)] = m == 3;  // V: an impulse, 1/4
    second[m] = mixed[m];         // W: 0.605442
    first[2 * m + 1] = wave(m);   // neuron 1 has no V
    second[7 + m] = 1;
  }
  set(network.first, from_vector(first, {14, 2}));
  set(network.second, from_vector(second, {2, 7}));
  std::vector<double> ipr = neuron_ipr(network);
  CHECK(ipr[0] == doctest::Approx((1 + 0.25 + 0.605442) / 3).epsilon(1e-6));
  CHECK(std::isnan(ipr[1]));
  CHECK(ascending({0.5, NAN, 0.2, 0.5}) == std::vector<int64_t>{1, 2, 0, 3});
}

TEST_CASE("pruned: none changes no bit, all leaves zeros, and the network stays as it is") {
  for (bool batch_norm : {false, true}) {
    manual_seed(5);
    QuadraticMlp network({.modulus = 7, .width = 8, .batch_norm = batch_norm});
    network.eval();
    std::vector<double> before = to_vector(network(all_pairs(7)));
    std::vector<int64_t> order{3, 1, 7, 0, 2, 6, 5, 4};
    CHECK(to_vector(pruned(network, order, 0)(all_pairs(7))) == before);
    for (double v : to_vector(pruned(network, order, 8)(all_pairs(7)))) CHECK(v == 0);
    QuadraticMlp part = pruned(network, order, 2);
    for (int64_t k : {3, 1}) {
      for (double v : to_vector(select(part.first, 1, k))) CHECK(v == 0);
      for (double v : to_vector(select(part.second, 0, k))) CHECK(v == 0);
    }
    CHECK(to_vector(select(part.first, 1, 7)) == to_vector(select(network.first, 1, 7)));
    CHECK(to_vector(network(all_pairs(7))) == before);
  }
  QuadraticMlp network({.modulus = 7, .width = 8});
  CHECK_THROWS_WITH_AS(pruned(network, {0, 1}, 3), "pruned: cannot prune 3 of 2 neurons", ValueError);
  CHECK_THROWS_AS(pruned(network, {8}, 1), IndexError);
  CHECK_THROWS_WITH_AS(prune_curve(network, {0}, corrupted_table({.modulus = 7}), 0), "prune_curve: needs at least one point, got 0",
                       ValueError);
}

TEST_CASE("prune_curve: a network without neurons says 0, and neurons that memorise take their labels with them") {
  // The exact solution beside neurons of noise: pruning the least periodic ones first takes the noise and leaves the rule.
  QuadraticMlp rule = analytic_solution(13, 600, 4);
  manual_seed(6);
  QuadraticMlp network({.modulus = 13, .width = 660, .dtype = f64});
  Tensor first = Tensor(network.first).detach() * 60, second = Tensor(network.second).detach() * 60;
  set(network.first, slice_assign(first, rule.first.detach(), 1, 60));
  set(network.second, slice_assign(second, rule.second.detach(), 0, 60));
  CorruptedTable table = corrupted_table({.modulus = 13, .corruption = 0});
  std::vector<int64_t> order = ascending(neuron_ipr(network));
  PruneCurve curve = prune_curve(network, order, table, 11);
  REQUIRE(curve.share.size() == 12);
  CHECK(curve.share[1] == doctest::Approx(60.0 / 660));
  CHECK(curve.reports[0].test < 0.9);
  CHECK(curve.reports[1].test == 1);
  double zeros_among = 0;
  for (int64_t label : to_vector<int64_t>(table.test.labels)) zeros_among += label == 0;
  CHECK(curve.reports[11].test == doctest::Approx(zeros_among / static_cast<double>(table.test.size())));
}

TEST_CASE("AdamW: without a gradient weights shrink by 1 − lr · decay a step") {
  Tensor w = tensor({2.0, -3.0}, f64).requires_grad_();
  optim::AdamW adamw({w}, {.lr = 1e-2, .beta1 = 0.9, .beta2 = 0.98, .weight_decay = 15});
  for (int step = 0; step < 7; ++step) {
    adamw.zero_grad();
    sum(w * 0.0).backward();
    adamw.step();
  }
  check_close(w, {2 * std::pow(0.85, 7), -3 * std::pow(0.85, 7)}, 1e-12);
}

TEST_CASE("corrupted_grokking: the experiment measures every variant at the smoke budget") {
  Results results =
      run_experiment({"regularization", "corrupted_grokking", &corrupted_grokking::experiment, {}}, {.budget = Budget::smoke, .seeds = 1});
  CHECK(results.cells.size() == 10);
  for (const CellResult& cell : results.cells) {
    CAPTURE(cell.variant);
    CHECK(cell.measured.metrics.size() == 10);
    for (const auto& [metric, value] : cell.measured.metrics) {
      CAPTURE(metric);
      CHECK((value >= 0 && value <= 100));
    }
  }
  // A small network learns 29 examples by heart in 30 steps; with strong decay it cannot, and what is left of its neurons is periodic.
  CHECK(measured(results, "no regularisation", "training accuracy (%)") > measured(results, "weight decay 15", "training accuracy (%)"));
  CHECK(measured(results, "no regularisation", "periodic neurons (%)") < measured(results, "weight decay 15", "periodic neurons (%)"));
  std::set<std::string> charts;
  for (const Curve& curve : results.cells[0].measured.curves) charts.insert(curve.chart);
  for (const char* chart : {"test accuracy (%)", "wrong labels memorised (%)", "test accuracy against corruption (%)",
                            "test accuracy, pruned least periodic first (%)"})
    CHECK(charts.contains(chart));
}

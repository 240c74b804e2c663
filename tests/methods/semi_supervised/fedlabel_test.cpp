// FedLabel: worked examples A to C, choices that tie or are forced, what a client trains and what it leaves alone, the server, and the
// experiment.
#include <doctest/doctest.h>

#include <cmath>
#include <map>

#include "engine/autograd/grad_mode.h"
#include "methods/runner.h"
#include "methods/semi_supervised/fedlabel/rounds.h"
#include "models/nn/linear.h"
#include "models/nn/norm.h"
#include "ops/index.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/shape.h"
#include "tests/ops/samples.h"

using namespace plumb;
using namespace plumb::methods;
using namespace plumb::methods::fedlabel;

namespace plumb::methods::fedlabel {
Experiment experiment();
}

namespace {

Tensor global_probs() { return softmax(tensor({{2., 0., 0.}, {.1, 0., 0.}, {0., .5, .2}, {0., 3., 0.}}, f64), 1); }
Tensor local_probs() { return softmax(tensor({{1., 0., 0.}, {0., 0., 2.}, {.1, .4, .3}, {0., 1., 2.}}, f64), 1); }
Tensor student_logits() { return tensor({{1.5, .2, 0.}, {.3, .1, .2}, {0., .6, .3}, {0., 2., 1.}}, f64); }

void check_near(const Tensor& x, const std::vector<double>& wanted, double relative = 5e-6) {
  auto values = to_vector(x);
  REQUIRE(values.size() == wanted.size());
  for (size_t i = 0; i < wanted.size(); ++i) CHECK(values[i] == doctest::Approx(wanted[i]).epsilon(relative));
}

bool same(const StateDict& a, const StateDict& b) {
  if (a.size() != b.size()) return false;
  for (const auto& [name, tensor] : a)
    if (!b.contains(name) || !test::same_bits(tensor, b.at(name))) return false;
  return true;
}

// Points of three classes, two views and labels, always the same.
struct Points {
  Tensor x, y, weak, strong, truth;
  Points() {
    Generator g(5);
    y = tensor({0, 1, 2, 0, 1, 2}), truth = tensor({0, 1, 2, 2, 1, 0, 1, 2});
    x = randn({6, 4}, {.generator = &g});
    weak = randn({8, 4}, {.generator = &g});
    strong = weak + 0.1 * randn({8, 4}, {.generator = &g});
  }
  ClientData data() const {
    return {[this] { return LabelledRows{x, y}; }, [this] { return UnlabelledRows{weak, strong, truth}; }};
  }
};

nn::Linear start_model() {
  manual_seed(2);
  return nn::Linear(4, 3);
}

FedLabelOptions labelling_at_once() { return {.supervised_steps = 3, .unsupervised_steps = 4, .burn_in = 0, .lr = 0.2, .tau = 0.35}; }

}  // namespace

TEST_CASE("fedlabel: worked example A, certainties, choices and ratios") {
  check_near(certainty(global_probs()), {.154351, 3.82380e-4, .00726027, .248927});
  check_near(certainty(local_probs()), {.0442079, .154351, .00245573, .0886049});
  for (double tau : {.3, .4}) {
    PseudoLabelChoice c = select_pseudo_labels(global_probs(), local_probs(), tau);
    CHECK(to_vector<int64_t>(c.index) == std::vector<int64_t>{0, 1, 2, 3});
    CHECK(to_vector<int>(c.from_global) == std::vector<int>{1, 0, 1, 1});
    CHECK(to_vector<int64_t>(c.label) == std::vector<int64_t>{0, 2, 1, 1});
    CHECK(to_vector<int>(c.agree) == std::vector<int>{1, 0, 1, 0});
    check_near(c.ratio, {.286412, .00247737, .338243, .355948});
  }
}

TEST_CASE("fedlabel: worked example B, the consistency of rows that agree, and the labels' cross-entropy") {
  PseudoLabelChoice c = select_pseudo_labels(global_probs(), local_probs(), .3);
  const double divergence[4] = {.0206774, .436370, .00787694, .420512};
  for (int64_t row = 0; row < 4; ++row) {
    Tensor at = from_vector(std::vector<int64_t>{row}), one = ones({1}, f64);
    double kl = agreement_consistency(index_select(student_logits(), 0, at), index_select(local_probs(), 0, at), one, one > 0).item();
    CHECK(kl == doctest::Approx(divergence[row]).epsilon(5e-6));
  }
  CHECK(agreement_consistency(student_logits(), local_probs(), c.ratio, c.agree).item() == doctest::Approx(.00429329).epsilon(5e-6));
  CHECK(cross_entropy(student_logits(), c.label).item() == doctest::Approx(.685127).epsilon(5e-6));
  CHECK(agreement_consistency(student_logits(), local_probs(), c.ratio, c.ratio > 1).item() == 0);
  FedLabelOptions o{.lambda_u = 2, .lambda_c = 3, .lambda_p = 0};
  CHECK(fedlabel::detail::student_loss(c, student_logits(), student_logits(), local_probs(), {}, {}, o).item() ==
        doctest::Approx(2 * .685127 + 3 * .00429329).epsilon(5e-6));
  o.temperature = 2;  // of both distributions that the consistency compares: the student's logits doubled are the same student
  CHECK(fedlabel::detail::student_loss(c, student_logits(), 2 * student_logits(), local_probs(), {}, {}, o).item() ==
        doctest::Approx(2 * .685127 + 3 * .00429329).epsilon(5e-6));
}

TEST_CASE("fedlabel: worked example C, the server's average and the proximal mean") {
  auto scalar = [](double v) { return StateDict{{"w", tensor({v})}}; };
  std::vector<FedLabelUpdate> updates{{scalar(1), scalar(2), {20, 10, 0, 0}, 0}, {scalar(3), scalar(6), {40, 30, 0, 0}, 0}};
  CHECK(fedlabel_average(updates).at("w").item() == 3.5);         // ½ · 2 + ½ · (10·2 + 30·6)/40
  CHECK(fedlabel_average(updates, false).at("w").item() == 3.0);  // ½ · 2 + ½ · 4
  Tensor v = tensor({1., 2.}, f64).requires_grad_(), m = ones({2, 2}, f64).requires_grad_();
  Tensor penalty = mean_proximal_penalty({v, m}, {zeros({2}, f64), zeros({2, 2}, f64)});
  CHECK(penalty.item() == 3.5);
  penalty.backward();
  CHECK(to_vector(v.grad()) == std::vector<double>{1, 2});
  CHECK(to_vector(m.grad()) == std::vector<double>(4, .5));
}

TEST_CASE("fedlabel: equal models tie, and ties go to the global one") {
  for (Certainty kind : {Certainty::variance, Certainty::entropy}) {
    PseudoLabelChoice c = select_pseudo_labels(local_probs(), local_probs(), .3, kind);
    CHECK(to_vector<int>(c.from_global) == std::vector<int>{1, 1, 1, 1});
    CHECK(to_vector(c.ratio) == std::vector<double>(4, 1));
    CHECK(to_vector<int>(c.agree) == std::vector<int>{1, 1, 1, 1});
  }
  Tensor even = full({2, 4}, .25, f64);  // certainties of 0
  PseudoLabelChoice c = select_pseudo_labels(even, even, .2);
  CHECK(to_vector(c.ratio) == std::vector<double>{1, 1});
}

TEST_CASE("fedlabel: the inverse entropy, forced choices, and the threshold after the choice") {
  check_near(certainty(tensor({{.5, .5}, {1., 0.}}, f64), Certainty::entropy), {1 / (std::log(2.0) + 1e-5), 1e5});
  Tensor g = global_probs(), l = local_probs();
  auto labels = [&](Choice choice) { return to_vector<int64_t>(select_pseudo_labels(g, l, .01, Certainty::variance, choice).label); };
  CHECK(labels(Choice::global) == std::vector<int64_t>{0, 0, 1, 1});
  CHECK(labels(Choice::local) == std::vector<int64_t>{0, 2, 1, 2});
  Generator coin(3);
  double heads = 0;
  for (int i = 0; i < 500; ++i) {
    auto from = to_vector<int>(select_pseudo_labels(g, l, .01, Certainty::variance, Choice::random, &coin).from_global);
    for (int f : from) heads += f;
  }
  CHECK(heads / 2000 == doctest::Approx(.5).epsilon(.112));  // five standard deviations: .056
  // Row 2: the global model is chosen with .426 of class 1; a row is dropped by its chosen model alone.
  CHECK(to_vector<int64_t>(select_pseudo_labels(g, l, .5).index) == std::vector<int64_t>{0, 1, 3});
  Tensor sure = tensor({{.6, .2, .2}}, f64), surer = tensor({{.5, .5, 0.}}, f64);  // variances .0533 and .0833, largest .6 and .5
  CHECK(select_pseudo_labels(surer, sure, .55).index.numel() == 0);
  CHECK(select_pseudo_labels(sure, surer, .55, Certainty::variance, Choice::global).index.numel() == 1);
}

TEST_CASE("fedlabel: nothing accepted, or before the burn-in, leaves v at w with weight 1") {
  Points points;
  nn::Linear worker = start_model();
  StateDict w = clone(worker.state());
  FedLabelOptions none = labelling_at_once();
  none.tau = 1;
  FedLabelUpdate u = fedlabel_client(worker, w, points.data(), 0, none);
  CHECK(same(u.unsupervised, w));
  CHECK(u.weight() == 1);
  CHECK(u.counts.seen == 32);
  CHECK_FALSE(same(u.supervised, w));
  FedLabelOptions later = labelling_at_once();
  later.burn_in = 5;
  FedLabelUpdate before = fedlabel_client(worker, w, points.data(), 4, later), after = fedlabel_client(worker, w, points.data(), 5, later);
  CHECK(same(before.unsupervised, w));
  CHECK(before.counts.seen == 0);
  CHECK_FALSE(same(after.unsupervised, w));
  CHECK(after.counts.accepted > 0);
  CHECK(same(before.supervised, after.supervised));
}

TEST_CASE("fedlabel: one client whose global model always labels, without λ_c and λ_p, is plain self-training") {
  Points points;
  nn::Linear worker = start_model(), teacher = start_model(), student = start_model();
  StateDict w = clone(worker.state());
  FedLabelOptions o = labelling_at_once();
  o.lambda_c = o.lambda_p = 0;
  o.choice = Choice::global;
  FedLabelUpdate u = fedlabel_client(worker, w, points.data(), 0, o);
  auto p = to_vector(softmax(teacher(points.weak).detach(), 1));
  std::vector<int64_t> kept, label;
  for (size_t i = 0; i < 8; ++i) {
    auto top = std::max_element(p.begin() + static_cast<std::ptrdiff_t>(3 * i), p.begin() + static_cast<std::ptrdiff_t>(3 * i + 3));
    if (*top <= o.tau) continue;
    kept.push_back(static_cast<int64_t>(i));
    label.push_back(top - p.begin() - static_cast<std::ptrdiff_t>(3 * i));
  }
  REQUIRE(!kept.empty());
  for (int step = 0; step < 4; ++step) {
    student.zero_grad();
    cross_entropy(student(index_select(points.strong, 0, from_vector(kept))), from_vector(label)).backward();
    NoGrad no_grad;
    for (Tensor parameter : student.parameters()) {
      Tensor moved = parameter - 0.2 * parameter.grad();
      optim::copy({moved}, {parameter});
    }
  }
  CHECK(u.counts.accepted == 4.0 * static_cast<double>(kept.size()));
  for (const auto& [name, tensor] : student.state()) CHECK(test::difference(u.unsupervised.at(name), tensor) < 1e-6);
}

TEST_CASE("fedlabel: no gradient reaches a teacher, and the proximal term begins at zero") {
  Tensor g = global_probs().requires_grad_(), l = local_probs().requires_grad_(), z = student_logits().requires_grad_();
  Tensor v = ones({3}, f64).requires_grad_(), w = ones({3}, f64).requires_grad_();
  PseudoLabelChoice c = select_pseudo_labels(g, l, .3);
  Tensor loss = fedlabel::detail::student_loss(c, z, z, l, {v}, {w}, {.lambda_c = 1, .lambda_p = 10});
  loss.backward();
  CHECK(z.grad().defined());
  CHECK_FALSE(g.grad().defined());
  CHECK_FALSE(l.grad().defined());
  CHECK_FALSE(w.grad().defined());
  CHECK(mean_proximal_penalty({v}, {w}).item() == 0);
  CHECK(to_vector(v.grad()) == std::vector<double>(3, 0));
}

TEST_CASE("fedlabel: with gradients that are never cleared, two steps move by g1 and then g1 + g2") {
  Points points;
  nn::Linear worker = start_model();
  StateDict w = clone(worker.state());
  FedLabelOptions o = labelling_at_once();
  o.unsupervised_steps = 1;
  auto moved = [&](const FedLabelUpdate& u) { return to(u.unsupervised.at("weight"), f64) - to(w.at("weight"), f64); };
  Tensor first = moved(fedlabel_client(worker, w, points.data(), 0, o));
  o.unsupervised_steps = 2;
  Tensor cleared = moved(fedlabel_client(worker, w, points.data(), 0, o));
  o.accumulate_gradients = true;
  Tensor running = moved(fedlabel_client(worker, w, points.data(), 0, o));
  CHECK(test::difference(running, cleared + first) < 1e-5);
}

TEST_CASE("fedlabel: the server leaves a state alone that everybody shares, buffers too") {
  nn::BatchNorm norm(3);
  manual_seed(1);
  norm(randn({16, 3}));
  StateDict w = clone(norm.state());
  FedLabelUpdate u{w, w, {0, 7, 0, 0}, 0}, other{w, w, {0, 2, 0, 0}, 0};
  CHECK(same(fedlabel_average({u, other, u}), w));
}

TEST_CASE("fedlabel: rounds average the clients, count their labels, and damp where none are made") {
  Points points;
  nn::Linear worker = start_model();
  FedLabelOptions o = labelling_at_once();
  auto round_of = [&](const FedLabelOptions& options, RoundSummary& summary) {
    FedLabelRounds rounds(start_model().state(), {.clients = 3, .per_round = 3, .seed = 4}, options);
    summary = rounds.run([&](int64_t, const StateDict& w) { return fedlabel_client(worker, w, points.data(), rounds.rounds(), options); });
    CHECK(rounds.rounds() == 1);
    return rounds.global();
  };
  RoundSummary labels, damped;
  StateDict w = start_model().state();
  FedLabelUpdate one = fedlabel_client(worker, w, points.data(), 0, o);
  StateDict got = round_of(o, labels);  // clients that are all the same
  CHECK(same(got, fedlabel_average({one, one, one})));
  CHECK(labels.counts.seen == 3 * 32);
  CHECK(labels.counts.accepted == 3 * one.counts.accepted);
  CHECK(labels.counts.right == 3 * one.counts.right);
  CHECK(labels.largest_share == doctest::Approx(1.0 / 3));
  CHECK(labels.loss == doctest::Approx(one.loss));
  o.burn_in = 1000;
  StateDict half = round_of(o, damped);
  CHECK(damped.counts.seen == 0);
  for (const auto& [name, tensor] : half)
    CHECK(test::difference(tensor, to(0.5 * (to(one.supervised.at(name), f64) + to(w.at(name), f64)), f32)) < 1e-6);
}

TEST_CASE("fedlabel: a client's examples go to labelled and unlabelled, each once") {
  Generator g(1);
  ClientSplit s = split_client({5, 9, 11, 20, 21, 22, 30, 41, 42, 43}, .25, 1, g);
  CHECK(s.labelled.size() == 2);
  CHECK(s.unlabelled.size() == 8);
  std::vector<int64_t> all = s.labelled;
  all.insert(all.end(), s.unlabelled.begin(), s.unlabelled.end());
  std::ranges::sort(all);
  CHECK(all == std::vector<int64_t>{5, 9, 11, 20, 21, 22, 30, 41, 42, 43});
  CHECK(split_client({1, 2, 3, 4, 5, 6}, .1, 4, g).labelled.size() == 4);
  CHECK(split_client({1, 2, 3}, 1, 0, g).unlabelled.empty());
}

TEST_CASE("fedlabel: mistakes are named") {
  Tensor p = global_probs(), one = ones({4, 1}, f64);
  Generator g(1);
  CHECK_THROWS_WITH_AS(select_pseudo_labels(one, one, .5), "fedlabel: probabilities of one class; at least two are needed", ValueError);
  CHECK_THROWS_WITH_AS(select_pseudo_labels(p, p, 0), "fedlabel: tau must lie in (0, 1], it is 0", ValueError);
  CHECK_THROWS_WITH_AS(select_pseudo_labels(p, p, 1.5), "fedlabel: tau must lie in (0, 1], it is 1.5", ValueError);
  CHECK_THROWS_WITH_AS(select_pseudo_labels(p, ones({4, 1}, f64), .5), "fedlabel: global probabilities [4, 3], local [4, 1]", ShapeError);
  CHECK_THROWS_WITH_AS(select_pseudo_labels(2 * p, p, .5), "fedlabel: row 0 of the probabilities sums to 2, not 1", ValueError);
  CHECK_THROWS_WITH_AS(agreement_consistency(p, p, ones({3}, f64), ones({4}, f64) > 0),
                       "agreement_consistency: logits [4, 3], probabilities [4, 3], ratios [3], agreement [4]", ShapeError);
  CHECK_THROWS_WITH_AS(mean_proximal_penalty({p}, {}), "mean_proximal_penalty: 1 parameters, but 0 to compare with", ShapeError);
  CHECK_THROWS_WITH_AS(mean_proximal_penalty({p}, {one}), "mean_proximal_penalty: parameter 0 is [4, 3], its reference [4, 1]", ShapeError);
  CHECK_THROWS_WITH_AS(fedlabel_average({}), "fedlabel: no client sent an update", ValueError);
  StateDict a{{"w", tensor({1.0})}}, b{{"v", tensor({1.0})}}, c{{"w", tensor({1.0, 2.0})}};
  CHECK_THROWS_WITH_AS(fedlabel_average({{a, a, {}, 0}, {b, b, {}, 0}}), "average_states: one state has no \"w\"", ValueError);
  CHECK_THROWS_WITH_AS(fedlabel_average({{a, a, {}, 0}, {a, c, {}, 0}}), "average_states: \"w\" is [2] in one state, [1] in the first",
                       ShapeError);
  CHECK_THROWS_WITH_AS(split_client({1, 2}, 0, 1, g), "fedlabel: the labelled share must lie in (0, 1], it is 0", ValueError);
  CHECK_THROWS_WITH_AS(split_client({}, .5, 1, g), "fedlabel: a client has no examples", ValueError);
  CHECK_THROWS_WITH_AS(split_client({1, 2}, .5, 3, g), "fedlabel: a client has 2 examples, fewer than the 3 that are to be labelled",
                       ValueError);
  CHECK_THROWS_WITH_AS(FedLabelRounds(a, {.clients = 0}, {}), "federated rounds: clients must be at least 1, it is 0", ConfigError);
  CHECK_THROWS_WITH_AS(FedLabelRounds(a, {}, {.tau = 2}), "fedlabel: tau must lie in (0, 1], it is 2", ConfigError);
}

TEST_CASE("fedlabel: the experiment measures every variant at the smoke budget") {
  Results results = run_experiment({"semi_supervised", "fedlabel", &fedlabel::experiment, {}}, {.budget = Budget::smoke, .seeds = 1});
  REQUIRE(results.cells.size() == 11);
  std::map<std::string, std::map<std::string, double>> m;
  for (const CellResult& cell : results.cells)
    for (auto& [name, value] : cell.measured.metrics) m[cell.variant][name] = value;
  for (auto& [variant, values] : m) {
    CAPTURE(variant);
    CHECK(values["test accuracy, α = 0.1 (%)"] > 5);
    CHECK(values["labels right, global, α = 0.1 (%)"] <= 100);
    CHECK((values["global more certain, α = 0.1 (%)"] >= 0 && values["global more certain, α = 0.1 (%)"] <= 100));
    double certain = values["labels right, more certain, α = 0.1 (%)"];
    double most = values["labels right, global, α = 0.1 (%)"] + values["labels right, local, α = 0.1 (%)"];
    CHECK(certain <= most);
  }
  const std::string accuracy = "test accuracy, α = 0.3 (%)";
  CHECK(m["FedLabel"][accuracy] != m["damped, labelled only"][accuracy]);
  CHECK(m["FedLabel"][accuracy] != m["FedAvg, labelled only"][accuracy]);
  CHECK(m["FedAvg, all labels"][accuracy] != m["FedAvg, labelled only"][accuracy]);
}

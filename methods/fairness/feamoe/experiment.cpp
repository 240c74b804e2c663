// FEAMOE on a stream with an accuracy drift and a fairness drift, beside single models, perceptrons and mixtures of fixed size.
#include "methods/experiment.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <memory>

#include "engine/autograd/backward.h"
#include "engine/autograd/grad_mode.h"
#include "methods/common/shapley.h"
#include "methods/fairness/feamoe/prequential.h"
#include "methods/fairness/feamoe/stream.h"
#include "models/mlp/mlp.h"
#include "ops/activation.h"
#include "ops/elementary.h"
#include "ops/gradient_reversal.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::feamoe {
namespace {

// One row of the table. The rates are the best of 0.001 (perceptrons alone), 0.003, 0.01, 0.03 and 0.1 on other streams, for each kind of
// model.
struct Setup {
  const char* name;
  const char* about;
  double lr = 0.03;
  int64_t experts = 1, max_experts = 1;
  double lambda = 0;  // of demographic parity
  bool perceptron = false;
  bool stops_at_drift = false;
  bool watch_all = false;
  double adversary = 0;  // strength with which the gradient of an adversary, who guesses the group from the logit, is reversed
};

const std::vector<Setup>& setups() {
  static const std::vector<Setup> all{
      {.name = "static logistic regression", .about = "learns until the drift, then is left as it is", .stops_at_drift = true},
      {.name = "online logistic regression", .about = "one expert"},
      {.name = "online logistic regression, λ = 10", .about = "one expert with the parity penalty", .lambda = 10},
      {.name = "MLP-32", .about = "one hidden layer of 32, the same window and steps", .lr = 0.003, .perceptron = true},
      {.name = "MLP-32, λ = 10", .about = "with the parity penalty", .lr = 0.003, .lambda = 10, .perceptron = true},
      {.name = "MLP-32, adversary",
       .about = "against an adversary who guesses the group from the logit (Zhang et al. 2018)",
       .lr = 0.01,
       .perceptron = true,
       .adversary = 3},
      {.name = "4 experts, λ = 2", .about = "a mixture of fixed size", .experts = 4, .max_experts = 4, .lambda = 2},
      {.name = "4 experts, λ = 10", .about = "a mixture of fixed size", .experts = 4, .max_experts = 4, .lambda = 10},
      {.name = "FEAMOE, λ = 0", .about = "grows, no penalty", .lr = 0.1, .max_experts = 6},
      {.name = "FEAMOE, λ = 2", .about = "grows", .lr = 0.1, .max_experts = 6, .lambda = 2},
      {.name = "FEAMOE, λ = 10", .about = "grows", .lr = 0.1, .max_experts = 6, .lambda = 10},
      {.name = "FEAMOE, λ = 30", .about = "grows", .lr = 0.1, .max_experts = 6, .lambda = 30},
      {.name = "FEAMOE, λ = 10, all watched",
       .about = "error, parity, odds and recourse have monitors of their own",
       .lr = 0.1,
       .max_experts = 6,
       .lambda = 10,
       .watch_all = true},
  };
  return all;
}

// What the table needs of a model.
struct Learner {
  virtual ~Learner() = default;
  virtual Tensor predict(const Tensor& x) = 0;
  virtual Tensor distance(const Tensor& x) = 0;
  /// Attribution of a logit over a background, for each row of x: [B][d].
  virtual std::vector<std::vector<double>> attributions(const Tensor& x, const Tensor& background) = 0;
  /// The logit that they explain.
  virtual Tensor explained(const Tensor& x) = 0;
  virtual LearnReport learn(const Batch& batch) = 0;
};

struct Mixture : Learner {
  explicit Mixture(const FeamoeOptions& options) : feamoe(options) {}
  Tensor predict(const Tensor& x) override { return feamoe.model().predict(x); }
  Tensor distance(const Tensor& x) override { return feamoe.model().recourse_distance(x); }
  Tensor explained(const Tensor& x) override { return feamoe.model().gated_logit(x); }
  std::vector<std::vector<double>> attributions(const Tensor& x, const Tensor& background) override {
    std::vector<double> all = to_vector(feamoe.model().shapley(x, mean(background, {0})));
    std::vector<std::vector<double>> rows;
    auto d = static_cast<std::ptrdiff_t>(x.size(1));
    for (auto row = all.begin(); row != all.end(); row += d) rows.emplace_back(row, row + d);
    return rows;
  }
  LearnReport learn(const Batch& batch) override { return feamoe.learn(batch); }
  Feamoe feamoe;
};

// A perceptron that learns from the same window with the same number of Adam steps.
struct Perceptron : Learner {
  Perceptron(const FeamoeOptions& o, double strength, int64_t permutations)
      : options(o),
        adversary_strength(strength),
        order_count(permutations),
        model({.inputs = o.inputs, .hidden = {32}, .outputs = 1}),
        adversary(1, 1),
        adam(model.parameters(), {.lr = o.lr}) {
    for (const Tensor& p : adversary.parameters()) adam.add_parameter(p);
  }
  Tensor explained(const Tensor& x) override { return squeeze(model(x), 1); }
  Tensor predict(const Tensor& x) override { return sigmoid(explained(x)); }
  // To the boundary of the function's tangent: relu(−s) / ‖∇s‖, which for one linear model is the distance itself.
  Tensor distance(const Tensor& x) override {
    GradMode on(true);
    Tensor leaf = x.detach().requires_grad_(), s = explained(leaf);
    Tensor slope = grad({sum(s)}, {leaf})[0];
    return (relu(-s) / clamp_min(norm(slope, 2, {1}), 1e-12)).detach();
  }
  std::vector<std::vector<double>> attributions(const Tensor& x, const Tensor& background) override {
    std::vector<std::vector<double>> rows;
    for (int64_t i = 0; i < x.size(0); ++i)
      rows.push_back(
          sampled_shapley([this](const Tensor& r) { return explained(r); }, select(x, 0, i), background, order_count, default_generator()));
    return rows;
  }
  LearnReport learn(const Batch& batch) override {
    window.push_back(batch);
    if (static_cast<int64_t>(window.size()) > options.window) window.erase(window.begin());
    Batch rows = joined(window);
    for (int64_t i = 0; i < options.iterations; ++i) {
      adam.zero_grad();
      Tensor s = explained(rows.x), loss = binary_cross_entropy_with_logits(s, to(rows.y, f32));
      for (const Tensor& p : model.parameters()) loss = loss + sum(square(p)) * options.objective.decay;
      if (options.objective.fairness.dp != 0) loss = loss + demographic_parity_penalty(sigmoid(s), rows.a) * options.objective.fairness.dp;
      if (adversary_strength != 0) {
        Tensor guess = squeeze(adversary(unsqueeze(gradient_reversal(s, adversary_strength), 1)), 1);
        loss = loss + binary_cross_entropy_with_logits(guess, to(rows.a, f32));
      }
      loss.backward();
      adam.step();
    }
    return {.experts = 1};
  }
  FeamoeOptions options;
  double adversary_strength;
  int64_t order_count;
  mlp::Mlp model;
  nn::Linear adversary;
  optim::Adam adam;
  std::vector<Batch> window;
};

// Where the phases of a stream begin and end. The first batches after a drift belong to none.
struct Phases {
  explicit Phases(const DriftStreamOptions& s)
      : start(s.accuracy_drift / 2),
        drift(s.accuracy_drift),
        second(drift + (s.fairness_drift - drift) * 11 / 20),
        fairness(s.fairness_drift),
        third(fairness + (s.batches - fairness) * 3 / 10),
        end(s.batches) {}
  int64_t start, drift, second, fairness, third, end;
};

DriftStreamOptions stream_of(const Cell& cell) {
  return cell.pick<DriftStreamOptions>({.batches = 24, .rows = 60, .accuracy_drift = 8, .fairness_drift = 16}, {}, {.rows = 3000});
}

std::unique_ptr<Learner> made(const Setup& s, const Cell& cell, int64_t inputs) {
  FeamoeOptions o{.inputs = inputs, .experts = s.experts, .max_experts = s.max_experts, .iterations = cell.pick<int64_t>(3, 25, 25)};
  if (s.experts == s.max_experts) o.min_share = 0;
  o.lr = s.lr;
  o.objective.fairness.dp = s.lambda;
  if (s.watch_all) o.watched = {true, true, true, true, true};
  if (s.perceptron) return std::make_unique<Perceptron>(o, s.adversary, cell.pick<int64_t>(10, 100, 1000));
  return std::make_unique<Mixture>(o);
}

// How long an attribution takes, and how far it is from the enumeration of all coalitions.
void measure_attributions(Cell& cell, Learner& learner, const std::vector<Batch>& stream) {
  Tensor background = slice(stream[stream.size() - 2].x, 0, 0, 32), rows = slice(stream.back().x, 0, 0, cell.pick<int64_t>(2, 32, 32));
  std::vector<std::vector<double>> phi;
  double seconds = INFINITY, off = 0, all = 0;
  for (int repeat = 0; repeat < 5; ++repeat) {  // the fastest: what else the machine did is not the method's
    auto start = std::chrono::steady_clock::now();
    phi = learner.attributions(rows, background);
    seconds = std::min(seconds, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  for (size_t i = 0; i < phi.size(); ++i) {
    std::vector<double> exact =
        exact_shapley([&](const Tensor& r) { return learner.explained(r); }, select(rows, 0, static_cast<int64_t>(i)), background);
    for (size_t j = 0; j < exact.size(); ++j) {
      off += std::abs(phi[i][j] - exact[j]);
      all += std::abs(exact[j]);
    }
  }
  cell.metric("attribution time (µs a row)", 1e6 * seconds / static_cast<double>(phi.size()));
  cell.metric("attribution error (%)", 100 * off / all);
}

void run(Cell& cell) {
  DriftStreamOptions options = stream_of(cell);
  auto stream = cell.shared("stream", [&] { return drift_stream(options); });
  const Setup& setup = *std::find_if(setups().begin(), setups().end(), [&](const Setup& s) { return cell.is(s.name); });
  std::unique_ptr<Learner> learner = made(setup, cell, options.inputs);
  Phases at(options);
  PrequentialReport report;
  int64_t experts = setup.experts, alarms = 0;
  for (int64_t t = 0; t < options.batches; ++t) {
    const Batch& batch = (*stream)[static_cast<size_t>(t)];
    {
      NoGrad off;
      report.add(learner->predict(batch.x), learner->distance(batch.x), batch);
    }
    auto x = static_cast<double>(t);
    cell.point("accuracy of a batch before it is learned from (%)", "batch", x, 100 * report.accuracy(t, t + 1));
    cell.point("|demographic parity gap| of a batch", "batch", x, report.demographic_parity(t, t + 1));
    if (!setup.stops_at_drift || t < at.drift) {
      LearnReport learned = learner->learn(batch);
      experts = learned.experts;
      alarms += t < at.drift && !learned.fired.empty();
    }
    cell.point("experts", "batch", x, static_cast<double>(experts));
    cell.progress(static_cast<double>(t + 1) / static_cast<double>(options.batches));
  }
  cell.metric("accuracy after the drift (%)", 100 * report.accuracy(at.second, at.fairness));
  cell.metric("accuracy before (%)", 100 * report.accuracy(at.start, at.drift));
  cell.metric("accuracy after the fairness drift (%)", 100 * report.accuracy(at.third, at.end));
  cell.metric("|DP| after it", report.demographic_parity(at.third, at.end));
  cell.metric("odds gap after it", report.equalised_odds(at.third, at.end));
  cell.metric("recourse gap after it", report.recourse_gap(at.third, at.end));
  cell.metric("recovery (batches)", static_cast<double>(report.recovery(at.start, at.drift, at.fairness)));
  cell.metric("experts", static_cast<double>(experts));
  cell.metric("false alarms", static_cast<double>(alarms));
  NoGrad off;
  measure_attributions(cell, *learner, *stream);
}

}  // namespace

Experiment experiment() {
  Experiment e;
  e.title = "FEAMOE";
  e.paper = "Sharma, Henderson & Ghosh, FEAMOE: Fair, Explainable and Adaptive Mixture of Experts, IJCAI 2023";
  e.claim =
      "On a stream that drifts, linear experts added when it does keep the accuracy of a perceptron, with a smaller gap between groups.";
  e.metrics = {{"accuracy after the drift (%)"},
               {"accuracy before (%)"},
               {"accuracy after the fairness drift (%)"},
               {"|DP| after it", Better::lower},
               {"odds gap after it", Better::lower},
               {"recourse gap after it", Better::lower},
               {"recovery (batches)", Better::lower},
               {"experts", Better::neither},
               {"false alarms", Better::lower},
               {"attribution time (µs a row)", Better::lower},
               {"attribution error (%)", Better::lower}};
  for (const Setup& s : setups()) e.variants.push_back({s.name, s.about});
  e.baseline = "MLP-32, λ = 10";
  e.method = "FEAMOE, λ = 10";
  e.run = run;
  return e;
}

}  // namespace plumb::methods::feamoe

// Weight Compander on a few digits, against weight decay, hard limits and another bounded function.
#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <optional>

#include "engine/autograd/grad_mode.h"
#include "methods/common/few_digits.h"
#include "methods/experiment.h"
#include "methods/regularization/weight_compander/weight_compander.h"
#include "methods/regularization/weight_compander/weight_statistics.h"
#include "models/metrics/calibration.h"
#include "models/optim/sgd.h"
#include "ops/loss.h"
#include "ops/softmax.h"

namespace plumb::methods::weight_compander {
namespace {

constexpr double kRate = 0.05, kConstantsRate = 0.1, kPruned = 0.01, kPi = std::numbers::pi;

struct Regime {
  const char* name;
  int64_t train;
  double noise;
  int64_t shift, epochs;
};
constexpr std::array kRegimes{Regime{"20 % noise", 300, 0.2, 0, 100}, Regime{"clean", 300, 0, 0, 100}, Regime{"shifts", 600, 0, 1, 60}};

std::string in(const std::string& measure, const Regime& r, const char* unit) { return measure + ", " + r.name + unit; }

// What is done to the weights of one variant.
struct Setting {
  std::string name, about;
  std::optional<CompandingOptions> companding = {};
  double decay = 0;
  double limit = 0;  // of |w|/s after each step; 0: none
};

const std::vector<Setting>& settings() {
  static const std::vector<Setting> all{
      {"plain", "no regulariser"},
      {"weight decay 5e-4", "of weights, not of biases", {}, 5e-4},
      {"weight decay 5e-3", "of weights, not of biases", {}, 5e-3},
      {"hard limit 1.57", "|w| ≤ π/2 s after each step: the bound of WC (1, 1) alone", {}, 0, kPi / 2},
      {"hard limit 1", "|w| ≤ s after each step", {}, 0, 1},
      {"tanh", "a tanh(v/b), with the bound and the slope at 0 of WC (1, 1)",
       CompandingOptions{.a = kPi / 2, .b = kPi / 2, .function = Bounded::tanh}},
      {"WC (2, 1)", "a = 2 s, b = s, start matched", CompandingOptions{.a = 2, .b = 1}},
      {"WC (2, 2)", "a = b = 2 s, start matched", CompandingOptions{.a = 2, .b = 2}},
      {"WC (1, 0.7)", "a = s, b = 0.7 s, start matched", CompandingOptions{.a = 1, .b = 0.7}},
      {"WC (1, 0.7), direct", "the same, v started as weights are", CompandingOptions{.a = 1, .b = 0.7, .start = Start::direct}},
      {"WC (1, 0.7), weight decay 5e-3", "of v", CompandingOptions{.a = 1, .b = 0.7}, 5e-3},
      {"WC (1, 0.7), learned", "a and b of each layer trained at a tenth of the rate, within a factor of 4",
       CompandingOptions{.a = 1, .b = 0.7, .learn = true}},
      {"WC (1, 0.7), learned within 1.25", "the same, within a factor of 1.25",
       CompandingOptions{.a = 1, .b = 0.7, .learn = true, .range = 1.25}},
      {"WC (1, 1)", "a = b = s, start matched", CompandingOptions{.a = 1, .b = 1}}};
  return all;
}

// Weights, which may decay; biases; and learned constants at a tenth of the rate.
optim::SGD make_sgd(const nn::Module& model, const std::vector<Tensor>& constants, double decay) {
  optim::SgdOptions options{.lr = kRate, .momentum = 0.9};
  optim::Group<optim::SgdOptions> weights{{}, options}, rest{{}, options}, slow{constants, options};
  weights.options.weight_decay = decay;
  slow.options.lr *= kConstantsRate;
  for (const Tensor& p : model.parameters()) {
    if (std::ranges::any_of(constants, [&](const Tensor& c) { return c.same_as(p); })) continue;
    (p.rank() >= 2 ? weights : rest).parameters.push_back(p);
  }
  return optim::SGD({weights, rest, slow});
}

struct Problem {
  FewDigits digits;
  mlp::Mlp initial;
};

Problem make_problem(const Cell& cell, const Regime& r) {
  int64_t train = cell.budget() == Budget::smoke ? 60 : r.train;
  return {few_digits({.train = train, .noise = r.noise}, default_generator()), few_digits_mlp()};
}

metrics::CalibrationReport judged(const mlp::Mlp& net, const FewDigits& digits) {
  NoGrad off;
  return metrics::calibration_report(softmax(net(digits.test), 1), digits.test_labels);
}

// `plain` gives the ordinary network that `model` is at the moment.
template <typename Model, typename Plain>
mlp::Mlp train(Cell& cell, const Problem& problem, const Regime& r, const Setting& s, double from, Model& model,
               const std::vector<Tensor>& constants, Plain plain) {
  int64_t epochs = cell.pick<int64_t>(15, r.epochs, r.epochs), every = std::max<int64_t>(1, epochs / 10);
  optim::SGD sgd = make_sgd(model, constants, s.decay);
  if (s.limit > 0) clip_weights(model, s.limit);
  Generator order(cell.seed() * 3 + static_cast<uint64_t>(from * 3));
  train_on_few_digits(
      problem.digits, {.epochs = epochs, .shift = r.shift}, sgd, order,
      [&](const FewDigitsBatch& batch) {
        if (s.limit > 0) clip_weights(model, s.limit);  // after the step before
        return cross_entropy(model(batch.rows), batch.labels);
      },
      [&](int64_t epoch) {
        cell.progress(from + static_cast<double>(epoch) / static_cast<double>(epochs * static_cast<int64_t>(kRegimes.size())));
        if (s.limit > 0) clip_weights(model, s.limit);
        if (epoch % every == 0 || epoch == epochs)
          cell.point(in("test error", r, " (%)"), "epochs", static_cast<double>(epoch), 100 * judged(plain(), problem.digits).error);
      });
  return plain();
}

void note_weights(Cell& cell, const Regime& r, const mlp::Mlp& net, const FewDigits& digits) {
  WeightStats stats = weight_statistics(net);
  cell.metric(in("largest |w|/s", r, ""), stats.largest);
  cell.metric(in("near zero", r, " (%)"), 100 * stats.near_zero);
  cell.metric(in("democracy", r, ""), stats.democracy);
  mlp::Mlp pruned = net;
  zero_largest(pruned, kPruned);
  cell.metric(in("error without the largest 1 %", r, " (%)"), 100 * judged(pruned, digits).error);
  for (int i = 0; i < kWeightBins; ++i)
    cell.point(in("weights", r, " (% of them)"), "w/s", -4 + (i + 0.5) * 8 / kWeightBins, 100 * stats.histogram[static_cast<size_t>(i)]);
}

void run_regime(Cell& cell, const Setting& s, const Regime& r, double from) {
  auto problem = cell.shared(r.name, [&] { return make_problem(cell, r); });
  mlp::Mlp net = problem->initial;
  if (s.companding) {
    Companded<mlp::Mlp> model(net, *s.companding);
    net = train(cell, *problem, r, s, from, model, model.companding.learned(), [&] { return model.baked(); });
  } else {
    net = train(cell, *problem, r, s, from, net, {}, [&]() -> mlp::Mlp { return net; });
  }
  metrics::CalibrationReport report = judged(net, problem->digits);
  cell.metric(in("error", r, " (%)"), 100 * report.error);
  cell.metric(in("NLL", r, " (nats)"), report.nll);
  if (&r == &kRegimes[0]) note_weights(cell, r, net, problem->digits);
}

void run(Cell& cell) {
  const Setting& s = *std::ranges::find(settings(), cell.variant(), &Setting::name);
  for (size_t i = 0; i < kRegimes.size(); ++i)
    run_regime(cell, s, kRegimes[i], static_cast<double>(i) / static_cast<double>(kRegimes.size()));
}

std::vector<Metric> declared() {
  std::vector<Metric> metrics;
  for (const Regime& r : kRegimes) {
    metrics.push_back({in("error", r, " (%)"), Better::lower});
    metrics.push_back({in("NLL", r, " (nats)"), Better::lower});
    if (&r != &kRegimes[0]) continue;
    metrics.push_back({in("largest |w|/s", r, ""), Better::neither});
    metrics.push_back({in("near zero", r, " (%)"), Better::neither});
    metrics.push_back({in("democracy", r, ""), Better::neither});
    metrics.push_back({in("error without the largest 1 %", r, " (%)"), Better::lower});
  }
  return metrics;
}

}  // namespace

Experiment experiment() {
  std::vector<Variant> variants;
  for (const Setting& s : settings()) variants.push_back({s.name, s.about});
  return {
      .title = "Weight Compander",
      .paper = "Cakaj, Mehnert, Bin Yang: Weight Compander: A Simple Weight Reparameterization for Regularization, arXiv 2306.16993, 2023",
      .claim =
          "weights computed as a arctan(v/b) are bounded, fewer lie near zero, and a network that memorises wrong labels tests better, "
          "also than with the bound alone",
      .metrics = declared(),
      .variants = variants,
      .baseline = "plain",
      .method = "WC (1, 1)",
      .run = run};
}

}  // namespace plumb::methods::weight_compander

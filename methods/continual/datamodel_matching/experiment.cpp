// DMM against other ways of unlearning, judged by populations of models that were really retrained without the forget set.
#include "methods/continual/datamodel_matching/datamodel_matching.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "methods/common/population_training.h"
#include "methods/continual/datamodel_matching/problem.h"
#include "methods/experiment.h"
#include "models/metrics/klom.h"
#include "models/metrics/margins.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::datamodel_matching {
namespace {

// What every way of unlearning may choose from; the choice is by the best KLOM, with the oracles in sight, for all of them.
const std::vector<double> kLambdas = {10, 20, 50, 100, 300};  // of the datamodels, chosen on held-out subsets
const std::vector<double> kFinetuneRates = {0.01, 0.05, 0.1};
const std::vector<double> kAscentRates = {1e-3, 5e-3, 5e-2};
const std::vector<double> kMixedRates = {2e-3, 1e-2, 5e-2};  // ascent–descent and SCRUB, whose few epochs go in small batches
constexpr int64_t kMixedBatch = 20;
const std::vector<double> kMatchingRates = {0.005, 0.02};
constexpr double kMomentum = 0.9, kDecay = 1e-3;  // of the training recipe
constexpr int64_t kTogether = 20;                 // members that unlearn in one pass

/// One forget set and what retraining without it gives.
struct Forgotten {
  std::string name;
  UnlearningTask task;
  Tensor margins;  ///< [N, q], of the oracles that judge
  Tensor logits;   ///< [N, q, C], of as many other oracles: targets of oracle matching, and the floor
};

struct Problem {
  Recipe recipe;
  Points points;
  double lambda;
  DatamodelRegression datamodels;
  mlp::MlpPopulation originals;
  Tensor original_logits;
  std::vector<Forgotten> forgotten;
};

Problem make_problem(Cell& cell) {
  Generator& g = default_generator();
  Recipe recipe = recipe_of(cell);
  auto progress = [&](double) { cell.progress(0); };
  Points points = make_points(recipe.trained, recipe.validation, g);
  SubsetModels subsets = train_subset_models(points, recipe, g, progress);
  double lambda = choose_lambda(subsets.masks, subsets.logits, kLambdas, 0.2).lambda;
  DatamodelRegression datamodels({.lambda = lambda});
  datamodels.fit(subsets.masks, subsets.logits);
  int64_t n = recipe.population;
  mlp::MlpPopulation originals = train_models(points, recipe, draw_seeds(n, g), masks_without(points, n, {}), progress);
  Tensor logits = population_logits(originals, points.x);
  Problem problem{recipe, points, lambda, std::move(datamodels), std::move(originals), logits, {}};
  for (bool coherent : {true, false}) {
    auto forget = coherent ? coherent_set(points, recipe.forget, g) : random_set(points, recipe.forget, g);
    UnlearningTask task(points.train_x(), points.train_labels(), forget);
    Tensor masks = masks_without(points, 2 * n, forget);
    Tensor oracles = population_logits(train_models(points, recipe, draw_seeds(2 * n, g), masks, progress), points.x);
    problem.forgotten.push_back(
        {coherent ? "coherent" : "random", std::move(task), metrics::margin(slice(oracles, 0, 0, n), points.labels), slice(oracles, 0, n)});
  }
  return problem;
}

/// How far a population is from the oracles.
struct Scores {
  metrics::KlomSummary forget, retain, validation;
  double likelihood_attack = 0;  ///< accuracy in percent
  double margin_attack = 0;      ///< |AUC − the oracles' AUC|, of forgotten against validation points, in points
  double cost = 0;               ///< gradients in percent of a retraining's
  double distance() const { return (forget.p95 + retain.p95 + validation.p95) / 3; }
};

Tensor columns(const Tensor& rows, const std::vector<int64_t>& places) { return index_select(rows, 1, from_vector(places)); }

Scores scores_of(const Tensor& logits, double gradients, const Problem& p, const Forgotten& f) {
  Tensor margins = metrics::margin(logits, p.points.labels), klom = unsqueeze(metrics::klom(margins, f.margins), 0);
  auto outside = [&](const Tensor& x) { return slice(x, 1, p.points.trained); };
  Scores s;
  s.forget = metrics::summarise_klom(columns(klom, f.task.forget));
  s.retain = metrics::summarise_klom(columns(klom, f.task.retain));
  s.validation = metrics::summarise_klom(outside(klom));
  Tensor own = columns(margins, f.task.forget), oracle = columns(f.margins, f.task.forget);
  s.likelihood_attack = 100 * metrics::likelihood_attack(own, oracle).accuracy;
  s.margin_attack = 100 * std::abs(metrics::margin_attack(own, outside(margins)) - metrics::margin_attack(oracle, outside(f.margins)));
  s.cost = 100 * gradients / static_cast<double>(p.recipe.steps * static_cast<int64_t>(f.task.retain.size()));
  return s;
}

/// A way of unlearning with its options, and after which epochs it is looked at.
using Unlearn = std::function<int64_t(const UnlearningModel& model, const UnlearningOptions& options, int64_t from, int64_t to)>;
struct Setting {
  UnlearningOptions options;
  std::vector<int64_t> looks;
};

/// Scores after each look, of the whole population; none from the look on at which an answer is no number any more.
std::vector<Scores> run_setting(const Unlearn& unlearn, Setting setting, const Problem& p, const Forgotten& f, Cell& cell) {
  std::vector<std::vector<Tensor>> logits(setting.looks.size());
  std::vector<double> gradients(setting.looks.size());
  setting.options.epochs = setting.looks.back();
  for (int64_t from = 0; from < p.originals.size(); from += kTogether) {
    int64_t to = std::min(p.originals.size(), from + kTogether);
    mlp::MlpPopulation part = p.originals.part(from, to);
    setting.options.after_epoch = [&](int64_t epoch, int64_t cost) {
      auto look = std::ranges::find(setting.looks, epoch);
      if (look == setting.looks.end()) return;
      auto k = static_cast<size_t>(look - setting.looks.begin());
      logits[k].push_back(population_logits(part, p.points.x));
      gradients[k] = static_cast<double>(cost);
    };
    Generator batches(cell.seed());
    setting.options.generator = &batches;
    unlearn({[&](const Tensor& x) { return part(x); }, part.parameters()}, setting.options, from, to);
    cell.progress(0.5);
  }
  std::vector<Scores> scores;
  for (size_t k = 0; k < logits.size(); ++k) {
    Tensor answers = cat(logits[k], 0);
    if (!std::isfinite(sum(answers).item())) break;
    scores.push_back(scores_of(answers, gradients[k], p, f));
  }
  return scores;
}

std::vector<Setting> settings_of(const Cell& cell) {
  std::vector<int64_t> few = cell.pick<std::vector<int64_t>>({1, 3}, {1, 3, 10}, {1, 3, 10});
  std::vector<int64_t> many = cell.pick<std::vector<int64_t>>({4, 8}, {30, 60, 120}, {30, 60, 120, 240});
  int64_t sample = cell.pick<int64_t>(20, 60, 60);
  std::vector<Setting> settings;
  auto add = [&](double lr, std::vector<int64_t> looks, UnlearningOptions options) {
    options.lr = lr;
    settings.push_back({options, std::move(looks)});
  };
  if (cell.is("retain fine-tuning"))
    for (double lr : kFinetuneRates) add(lr, many, {.momentum = kMomentum, .weight_decay = kDecay});
  if (cell.is("gradient ascent"))
    for (double lr : kAscentRates) add(lr, few, {});
  if (cell.is("SCRUB"))
    for (double lr : kMixedRates) add(lr, cell.pick<std::vector<int64_t>>({3}, {3, 5, 10}, {3, 5, 10}), {.batch = kMixedBatch});
  if (cell.is("ascent and descent"))
    for (double lr : kMixedRates)
      for (int64_t ascent : {3, 5}) add(lr, {5, 10}, {.batch = kMixedBatch, .ascent_epochs = ascent});
  if (cell.is("DMM") || cell.is("oracle matching"))
    for (double lr : kMatchingRates)
      for (int64_t retain : {sample, int64_t{0}}) add(lr, many, {.momentum = kMomentum, .retain_sample = retain});
  return settings;
}

Unlearn way_of(const Cell& cell, const Problem& p, const Forgotten& f) {
  const UnlearningTask& task = f.task;
  if (cell.is("retain fine-tuning")) return [&](const auto& m, const auto& o, int64_t, int64_t) { return retain_finetune(m, task, o); };
  if (cell.is("gradient ascent")) return [&](const auto& m, const auto& o, int64_t, int64_t) { return gradient_ascent(m, task, o); };
  if (cell.is("ascent and descent")) return [&](const auto& m, const auto& o, int64_t, int64_t) { return ascent_descent(m, task, o); };
  if (cell.is("SCRUB")) return [&](const auto& m, const auto& o, int64_t, int64_t) { return scrub(m, task, o); };
  // Each model has an oracle, or a prediction, of its own, so that the spread over models stays.
  Tensor targets = cell.is("DMM") ? datamodel_targets(p.original_logits, p.datamodels, task.forget) : f.logits;
  targets = slice(targets, 1, 0, p.points.trained);
  return [targets, &task](const auto& m, const auto& o, int64_t from, int64_t to) {
    return oracle_matching(m, task, slice(targets, 0, from, to), o);
  };
}

/// The setting and look with the least distance to the oracles, as charts of that setting.
Scores best_of(const Problem& p, const Forgotten& f, Cell& cell) {
  std::optional<Scores> best;
  std::vector<Scores> chosen;
  std::vector<int64_t> looks;
  for (const Setting& setting : settings_of(cell)) {
    std::vector<Scores> scores = run_setting(way_of(cell, p, f), setting, p, f, cell);
    if (scores.empty()) continue;  // it diverged at once
    auto least = std::ranges::min_element(scores, {}, &Scores::distance);
    if (best && least->distance() >= best->distance()) continue;
    best = *least;
    chosen = scores;
    looks = setting.looks;
  }
  if (!best) throw ValueError("datamodel_matching: " + std::string(cell.variant()) + " diverged in all settings");
  for (size_t k = 0; k < chosen.size(); ++k)
    for (auto [where, klom] : {std::pair{"forget", chosen[k].forget}, {"retain", chosen[k].retain}, {"validation", chosen[k].validation}})
      cell.point(fmt::format("KLOM of {} points, {} set", where, f.name), "epochs", static_cast<double>(looks[k]), klom.p95);
  return *best;
}

Scores unlearned(const Problem& p, const Forgotten& f, Cell& cell) {
  if (cell.is("do nothing")) return scores_of(p.original_logits, 0, p, f);
  if (cell.is("DM-Direct")) return scores_of(datamodel_targets(p.original_logits, p.datamodels, f.task.forget), 0, p, f);
  if (cell.is("retrained again"))
    return scores_of(f.logits, static_cast<double>(p.recipe.steps * static_cast<int64_t>(f.task.retain.size())), p, f);
  return best_of(p, f, cell);
}

void run(Cell& cell) {
  auto problem = cell.shared("populations", [&] { return make_problem(cell); });
  for (const Forgotten& f : problem->forgotten) {
    Scores s = unlearned(*problem, f, cell);
    auto metric = [&](const char* what, double value) { cell.metric(fmt::format("{}, {}", what, f.name), value); };
    metric("forget KLOM", s.forget.p95);
    metric("forget KLOM, mean", s.forget.mean);
    metric("retain KLOM", s.retain.p95);
    metric("validation KLOM", s.validation.p95);
    metric("likelihood attack (%)", s.likelihood_attack);
    metric("margin attack, off by (%)", s.margin_attack);
    metric("gradients (% of retraining)", s.cost);
  }
}

}  // namespace

Experiment experiment() {
  std::vector<Metric> metrics;
  for (const char* set : {"coherent", "random"})
    for (const char* what : {"forget KLOM", "forget KLOM, mean", "retain KLOM", "validation KLOM", "likelihood attack (%)",
                             "margin attack, off by (%)", "gradients (% of retraining)"})
      metrics.push_back({fmt::format("{}, {}", what, set), Better::lower});
  return {
      .title = "DMM",
      .paper =
          "Georgiev, Rinberg, Park, Garg, Ilyas, Madry, Neel: Attribute-to-Delete: Machine Unlearning via Datamodel Matching, ICLR 2025",
      .claim =
          "fine-tuned towards what datamodels predict, a model answers on the forget set as retrained ones do, at least twice as "
          "near (KLOM) as after fine-tuning on the retain set, ascent or SCRUB, and no worse than untouched elsewhere",
      .metrics = metrics,
      .variants = {{"do nothing", "the original models"},
                   {"retain fine-tuning", "gradient descent on the retain set"},
                   {"gradient ascent", "on the forget set"},
                   {"ascent and descent", "ascent on the forget set and descent on the retain set, in turn"},
                   {"SCRUB", "away from the original's answers on the forget set, towards them elsewhere"},
                   {"DM-Direct", "what the datamodels predict, without a model that could answer new queries"},
                   {"oracle matching", "towards the outputs of really retrained models: the ceiling of matching"},
                   {"retrained again", "other models retrained without the forget set: the floor of KLOM"},
                   {"DMM", "towards what the datamodels predict"}},
      .baseline = "retain fine-tuning",
      .method = "DMM",
      .run = run};
}

}  // namespace plumb::methods::datamodel_matching

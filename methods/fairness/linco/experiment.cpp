// LInCo on cases whose inconsistency is known: does the coefficient, less what chance shows, follow it? With exact and with learned judges,
// and without the controls that an honest measurement needs.
#include "methods/experiment.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "methods/fairness/linco/judges.h"
#include "methods/fairness/linco/synthetic.h"

namespace plumb::methods::linco {
namespace {

// Settings of the judges, to be swept.
constexpr double kPenalty = 1, kRate = 3e-3;
constexpr int64_t kBatch = 128;
const std::vector<double> kBetas{0, 0.05, 0.1, 0.2, 0.4};
const std::vector<double> kUnequal{0.6, 0.3, 0.1};

struct Setup {
  const char* name;
  const char* about;
  bool perceptron = false, same_start = true, unequal = false, equalise = true, interaction = false;
};

const std::vector<Setup>& setups() {
  static const std::vector<Setup> all{
      {.name = "ridge judges", .about = "linear regression, exact: no noise of training"},
      {.name = "ridge judges, interaction", .about = "groups weigh one factor differently, everything else alike", .interaction = true},
      {.name = "ridge judges, unequal groups, all cases",
       .about = "60, 30 and 10 % of the cases; every judge learns from all of its own",
       .unequal = true,
       .equalise = false},
      {.name = "ridge judges, unequal groups, equalised",
       .about = "the same, every judge learns from as many as the smallest group has",
       .unequal = true},
      {.name = "MLP judges, starts of their own",
       .about = "perceptrons with initial weights of their own",
       .perceptron = true,
       .same_start = false},
      {.name = "MLP judges", .about = "perceptrons 20-64-64-1 with the same initial weights for all groups", .perceptron = true},
  };
  return all;
}

JudgeTrainer trainer_of(const Cell& cell, const Setup& setup) {
  if (!setup.perceptron) return ridge_judges(kPenalty);
  return mlp_judges({.steps = cell.pick<int64_t>(4, 150, 400), .batch = kBatch, .lr = kRate});
}

SyntheticOptions options_of(const Cell& cell, const Setup& setup, double beta) {
  SyntheticOptions o{.beta = beta, .train = cell.pick<int64_t>(300, 4000, 4000), .evaluation = cell.pick<int64_t>(90, 1000, 1000)};
  o.interaction = setup.interaction;
  if (setup.unequal) o.shares = kUnequal;
  return o;
}

struct Measurement {
  double truth;
  LincoReport report;
};

Measurement measure(const Cell& cell, const Setup& setup, const SyntheticOptions& options, const std::function<void(double)>& progress) {
  SyntheticJudgments cases = make_synthetic(options, cell.seed() + 1000);  // the same rule for every strength and variant
  Generator g(cell.seed());
  AuditOptions o{.permutations = setup.perceptron ? cell.pick<int64_t>(1, 5, 19) : cell.pick<int64_t>(2, 19, 99), .progress = progress};
  o.panel = {.seeds = setup.perceptron ? cell.pick<int64_t>(1, 3, 3) : 1,
             .equalise = setup.equalise,
             .same_start = setup.same_start,
             .seed = cell.seed()};
  return {cases.truth, measure_consistency(log_cases(cases.train), balanced(log_cases(cases.evaluation), g), trainer_of(cell, setup), o)};
}

// How the floor falls with the number of cases: exact judges without any inconsistency.
void floors(Cell& cell, const Setup& setup) {
  for (int64_t n : cell.pick<std::vector<int64_t>>({150}, {500, 1000, 2000, 4000, 8000, 16000}, {500, 1000, 2000, 4000, 8000, 16000})) {
    SyntheticOptions o = options_of(cell, setup, 0);
    o.train = n;
    cell.point("LInCo without any inconsistency", "log2 of cases", std::log2(static_cast<double>(n)),
               measure(cell, setup, o, {}).report.linco);
  }
}

void run(Cell& cell) {
  const Setup& setup = *std::find_if(setups().begin(), setups().end(), [&](const Setup& s) { return cell.is(s.name); });
  double off = 0, worst_error = 0;
  for (size_t b = 0; b < kBetas.size(); ++b) {
    auto progress = [&](double share) { cell.progress((static_cast<double>(b) + share) / static_cast<double>(kBetas.size())); };
    Measurement m = measure(cell, setup, options_of(cell, setup, kBetas[b]), progress);
    const LincoReport& r = m.report;
    cell.metric(fmt::format("excess, β = {}", kBetas[b]), r.excess);
    off += std::abs(r.excess - m.truth) / static_cast<double>(kBetas.size());
    for (double e : r.per_judge_error) worst_error = std::max(worst_error, e);
    for (auto [line, value] : {std::pair{"LInCo", r.linco}, {"floor", r.null_mean}, {"excess", r.excess}, {"truth", m.truth}})
      cell.point("inconsistency", "β", kBetas[b], value, line);
    if (kBetas[b] == 0) {
      cell.metric("LInCo, β = 0", r.linco);
      cell.metric("floor, β = 0", r.null_mean);
      cell.metric("p, β = 0", r.p_value);
    }
    if (kBetas[b] == 0.1) {
      cell.metric("p, β = 0.1", r.p_value);
      cell.metric("rank correlation with severity, β = 0.1", r.per_bin.rank_correlation);
    }
  }
  cell.metric("mean |excess − truth|", off);
  cell.metric("largest error of a judge (log)", worst_error);
  if (cell.is("ridge judges")) floors(cell, setup);
}

}  // namespace

Experiment experiment() {
  Experiment e;
  e.title = "LInCo";
  e.paper =
      "Wang, Xiao, Ma, Zhong, Tu, Zhang, Liu & Sun, Equality before the Law: Legal Judgment Consistency Analysis for Fairness, Science "
      "China Information Sciences 2021";
  e.claim =
      "How much judges of different groups disagree on the same cases follows the inconsistency that was put there, once the floor of "
      "chance is taken off.";
  e.metrics = {{"mean |excess − truth|", Better::lower}, {"LInCo, β = 0", Better::lower}, {"floor, β = 0", Better::lower}};
  for (double beta : kBetas) e.metrics.push_back({fmt::format("excess, β = {}", beta), beta == 0 ? Better::lower : Better::neither});
  for (const char* name : {"p, β = 0", "p, β = 0.1", "rank correlation with severity, β = 0.1"})
    e.metrics.push_back({name, Better::neither});
  e.metrics.push_back({"largest error of a judge (log)", Better::lower});
  for (const Setup& s : setups()) e.variants.push_back({s.name, s.about});
  e.baseline = "ridge judges";
  e.method = "MLP judges";
  e.run = run;
  return e;
}

}  // namespace plumb::methods::linco

// Does debiasing lower LInCo? One pooled judge that is told the group, judged by substituting the group; two kinds of inconsistency; and
// the protocol of heads, which can change nothing here, as a control.
#include "methods/experiment.h"

#include <algorithm>
#include <cmath>

#include "methods/fairness/linco/debias.h"
#include "methods/fairness/linco/synthetic.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::linco_debias {
namespace {

using namespace linco;

constexpr double kRate = 2e-3, kAdversaryRate = 5e-3, kGamma = 1, kDroEta = 0.1;

struct Setup {
  const char* name;
  const char* about;
  Debias how = Debias::none;
  bool heads = false;
};

const std::vector<Setup>& setups() {
  static const std::vector<Setup> all{
      {"none", "one judge of cases and group"},
      {"heads", "an encoder of cases alone, frozen; a judge of its code for each group", Debias::none, true},
      {"heads, adversarial", "the same, the encoder trained against an adversary: cases say nothing of the group, so nothing can change",
       Debias::adversarial, true},
      {"reweighting", "equal mass of all groups", Debias::reweighting},
      {"group DRO", "the worst group's loss", Debias::group_dro},
      {"label residuals", "the group's mean taken off the labels", Debias::residual},
      {"adversarial", "a classifier guesses the group from the code, its gradient reversed", Debias::adversarial},
  };
  return all;
}

DebiasOptions options_of(const Cell& cell, const Setup& setup) {
  return {.how = setup.how,
          .steps = cell.pick<int64_t>(5, 800, 800),
          .lr = kRate,
          .adversary_lr = kAdversaryRate,
          .gamma = kGamma,
          .dro_eta = kDroEta};
}

Tensor judgments_of(const Setup& setup, const DebiasOptions& options, const Cases& cases, const Tensor& x, uint64_t seed) {
  if (setup.heads) return train_heads(cases, options, seed).judge(x);
  return judge_by_substitution(train_pooled_judge(cases, options, seed), x, cases.groups());
}

// Mean |M(x, own group) − t| over the judged cases.
double own_error(const Tensor& judgments, const Cases& cases) {
  Tensor own = squeeze(gather(judgments, 1, unsqueeze(from_vector(cases.group), 1)), 1);
  return mean(abs(own - to(cases.t, f64))).item();
}

void measure(Cell& cell, const Setup& setup, const std::string& kind, double beta, bool interaction, double from) {
  SyntheticOptions o{.beta = beta,
                     .train = cell.pick<int64_t>(300, 4000, 4000),
                     .evaluation = cell.pick<int64_t>(90, 1000, 1000),
                     .interaction = interaction};
  SyntheticJudgments made = make_synthetic(o, cell.seed() + (interaction ? 2000 : 1000));
  Cases train = log_cases(made.train), evaluation = log_cases(made.evaluation);
  DebiasOptions options = options_of(cell, setup);
  Tensor judgments = judgments_of(setup, options, train, evaluation.x, cell.seed());
  double coefficient = linco::linco(judgments), floor = 0;
  int64_t permutations = cell.pick<int64_t>(1, 5, 5);
  Generator draws(cell.seed() + 5);
  for (int64_t r = 0; r < permutations; ++r) {
    Cases dealt = train;
    for (size_t k = dealt.group.size(); k > 1; --k) std::swap(dealt.group[k - 1], dealt.group[draws.next_below(k)]);
    floor += linco::linco(judgments_of(setup, options, dealt, evaluation.x, cell.seed())) / static_cast<double>(permutations);
    cell.progress(from + 0.5 * static_cast<double>(r + 1) / static_cast<double>(permutations));
  }
  cell.metric("excess, " + kind, excess(coefficient, floor));
  cell.metric("floor, " + kind, floor);
  cell.metric("error on own groups, " + kind + " (log)", own_error(judgments, evaluation));
  cell.metric("truth, " + kind, made.truth);
}

void run(Cell& cell) {
  const Setup& setup = *std::find_if(setups().begin(), setups().end(), [&](const Setup& s) { return cell.is(s.name); });
  measure(cell, setup, "offset", 0.1, false, 0);
  measure(cell, setup, "interaction", 0.3, true, 0.5);
}

}  // namespace

Experiment experiment() {
  Experiment e;
  e.title = "LInCo: debiasing";
  e.paper =
      "Wang, Xiao, Ma, Zhong, Tu, Zhang, Liu & Sun, Equality before the Law: Legal Judgment Consistency Analysis for Fairness, Science "
      "China Information Sciences 2021";
  e.claim = "Adversarial training lowers the inconsistency of a judge that knows the group, at little cost in error.";
  for (const char* kind : {"offset", "interaction"}) {
    std::string of = kind;
    e.metrics.push_back({"excess, " + of, Better::lower});
    e.metrics.push_back({"error on own groups, " + of + " (log)", Better::lower});
    e.metrics.push_back({"floor, " + of, Better::neither});
    e.metrics.push_back({"truth, " + of, Better::neither});
  }
  for (const Setup& s : setups()) e.variants.push_back({s.name, s.about});
  e.baseline = "none";
  e.method = "adversarial";
  e.run = run;
  return e;
}

}  // namespace plumb::methods::linco_debias

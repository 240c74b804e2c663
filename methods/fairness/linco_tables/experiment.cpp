// LInCo on real decisions: days in jail, income and credit by sex and by race, each with its floor and p-value.
#include "methods/experiment.h"

#include <algorithm>
#include <cmath>

#include "methods/common/fair_tables.h"
#include "methods/fairness/linco/judges.h"
#include "ops/index.h"
#include "ops/pointwise.h"
#include "ops/shape.h"

namespace plumb::methods::linco_tables {
namespace {

using namespace linco;

// Settings of the judges, to be swept.
constexpr double kRate = 3e-3;
constexpr int64_t kBatch = 128;

struct Setup {
  const char* name;
  const char* about;
  const char* table;      // "generated" has an amount and a label too
  bool by_other = false;  // COMPAS by sex, Adult by race
  bool decisions = true;  // the label; else log(1 + amount)
};

const std::vector<Setup>& setups() {
  static const std::vector<Setup> all{
      {"generated amounts", "log(1 + an amount) that groups' rules do not differ in, but for an offset", "generated", false, false},
      {"generated decisions", "labels of the same cases", "generated"},
      {"income by sex", "Adult: above 50,000 or not", "Adult"},
      {"income by race", "Adult: White people and all others", "Adult", true},
      {"credit by sex", "German credit: good risk or not", "German credit"},
      {"recidivism by race", "COMPAS: within two years or not", "COMPAS"},
      {"jail days by sex", "COMPAS: log(1 + days)", "COMPAS", true, false},
      {"jail days by race", "COMPAS: log(1 + days)", "COMPAS", false, false},
  };
  return all;
}

FairTable table_of(const Cell& cell, const Setup& setup) {
  Generator& g = default_generator();
  std::string name = setup.table;
  if (cell.budget() == Budget::smoke || name == "generated") return generated_fair_table(cell.pick<int64_t>(300, 5000, 20000), g);
  if (!setup.by_other || !has_fair_tables()) return fair_table(name, g);
  return name == "Adult" ? adult_table(true) : compas_table(true);
}

// Learned from and judged: cases whose decision is known.
struct Parts {
  Cases train, evaluation;
};

Cases cases_of(const FairPart& part, bool decisions) {
  std::vector<double> amount = decisions ? std::vector<double>(static_cast<size_t>(part.rows())) : to_vector(part.amount);
  std::vector<int64_t> known, group;
  std::vector<double> terms, all = to_vector(part.y);
  std::vector<int64_t> of = to_vector<int64_t>(part.a);
  for (size_t i = 0; i < amount.size(); ++i) {
    if (std::isnan(amount[i])) continue;
    known.push_back(static_cast<int64_t>(i)), group.push_back(of[i]);
    terms.push_back(decisions ? all[i] : amount[i]);
  }
  Tensor x = index_select(part.x, 0, from_vector(known));
  return decisions ? Cases{x, to(from_vector(terms), f32), group} : log_cases({x, group, terms});
}

Parts parts_of(const Cell& cell, const Setup& setup) {
  FairTable table = table_of(cell, setup);
  Generator& g = default_generator();
  int64_t most = cell.pick<int64_t>(300, 6000, 40000), rows = std::min(table.rows(), most);
  FairSplit split = split_fair_table(table, rows * 7 / 10, 0, g, rows * 3 / 10);
  return {cases_of(split.train, setup.decisions), balanced(cases_of(split.test, setup.decisions), g)};
}

void run(Cell& cell) {
  const Setup& setup = *std::find_if(setups().begin(), setups().end(), [&](const Setup& s) { return cell.is(s.name); });
  auto parts = cell.shared(cell.variant(), [&] { return parts_of(cell, setup); });
  JudgeTrainer trainer = mlp_judges(
      {.hidden = {32, 32}, .steps = cell.pick<int64_t>(4, 150, 400), .batch = kBatch, .lr = kRate, .decisions = setup.decisions});
  AuditOptions o{
      .permutations = cell.pick<int64_t>(1, 19, 99), .decisions = setup.decisions, .progress = [&](double share) { cell.progress(share); }};
  o.panel = {.seeds = cell.pick<int64_t>(1, 2, 3), .seed = cell.seed()};
  LincoReport r = measure_consistency(parts->train, parts->evaluation, trainer, o);
  cell.metric("LInCo", r.linco);
  cell.metric("floor", r.null_mean);
  cell.metric("excess", r.excess);
  cell.metric("p", r.p_value);
  cell.metric("error of judge 0", r.per_judge_error[0]);
  cell.metric("error of judge 1", r.per_judge_error[1]);
  cell.metric("rank correlation with severity", r.per_bin.rank_correlation);
  cell.metric("cases judged", static_cast<double>(parts->evaluation.size()));
  for (size_t b = 0; b < r.per_bin.linco.size(); ++b)
    cell.point("disagreement by severity", "part of the cases, mildest first", static_cast<double>(b + 1), r.per_bin.linco[b]);
}

}  // namespace

Experiment experiment() {
  Experiment e;
  e.title = "LInCo: real decisions";
  e.paper =
      "Wang, Xiao, Ma, Zhong, Tu, Zhang, Liu & Sun, Equality before the Law: Legal Judgment Consistency Analysis for Fairness, Science "
      "China Information Sciences 2021";
  e.claim = "Judges that learn from one group's cases disagree on the same cases more than judges of groups dealt out by chance do.";
  e.metrics = {{"excess", Better::neither},
               {"LInCo", Better::neither},
               {"floor", Better::neither},
               {"p", Better::neither},
               {"error of judge 0", Better::lower},
               {"error of judge 1", Better::lower},
               {"rank correlation with severity", Better::neither},
               {"cases judged", Better::neither}};
  for (const Setup& s : setups()) e.variants.push_back({s.name, s.about});
  e.baseline = "generated amounts";
  e.method = "jail days by race";
  e.run = run;
  return e;
}

}  // namespace plumb::methods::linco_tables

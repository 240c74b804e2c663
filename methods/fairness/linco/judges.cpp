// Training judges and having them judge.
#include "methods/fairness/linco/judges.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <numeric>

#include "engine/autograd/grad_mode.h"
#include "engine/core/kept_generator.h"
#include "engine/data/dataset.h"
#include "models/mlp/mlp.h"
#include "models/optim/adam.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/linalg.h"
#include "ops/loss.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::linco {
namespace {

std::vector<std::vector<int64_t>> places_by_group(const Cases& cases, int64_t groups) {
  std::vector<std::vector<int64_t>> places(static_cast<size_t>(groups));
  for (size_t i = 0; i < cases.group.size(); ++i) places[static_cast<size_t>(cases.group[i])].push_back(static_cast<int64_t>(i));
  return places;
}

void shuffle(std::vector<int64_t>& values, Generator& generator) {
  for (size_t k = values.size(); k > 1; --k) std::swap(values[k - 1], values[generator.next_below(k)]);
}

void check_groups(const std::vector<std::vector<int64_t>>& places) {
  for (size_t k = 0; k < places.size(); ++k)
    if (places[k].size() < 2)
      throw ValueError("linco: group " + std::to_string(k) + " has " + std::to_string(places[k].size()) +
                       " cases; a judge needs at least 2");
}

size_t smallest(const std::vector<std::vector<int64_t>>& places) {
  return std::ranges::min(places, {}, [](const auto& p) { return p.size(); }).size();
}

double disagreement(const Tensor& judgments, bool decisions, std::vector<double>* of_cases = nullptr) {
  Tensor sigma = decisions ? case_disagreement(stack({1 - judgments, judgments}, 2)) : case_deviation(judgments);
  if (of_cases) *of_cases = to_vector(sigma);
  return mean(sigma).item();
}

// LInCo of the judges of one seed, for each.
std::vector<double> of_each_seed(const JudgePanel& panel, const Tensor& x, bool decisions) {
  std::vector<double> found;
  for (size_t s = 0; s < panel.judges()[0].size(); ++s) {
    std::vector<std::vector<Judge>> alone;
    for (const auto& of_group : panel.judges()) alone.push_back({of_group[s]});
    found.push_back(disagreement(JudgePanel(std::move(alone)).judge(x), decisions));
  }
  return found;
}

// How far each judge is off on its own group's cases; NaN where there are none.
void add_errors(LincoReport& report, const Tensor& judgments, const Cases& evaluation, bool decisions) {
  auto own_cases = places_by_group(evaluation, judgments.size(1));
  std::vector<double> t = to_vector(evaluation.t);
  for (size_t k = 0; k < own_cases.size(); ++k) {
    std::vector<double> judged = to_vector(select(judgments, 1, static_cast<int64_t>(k)));
    double error = 0, months = 0, n = static_cast<double>(own_cases[k].size());
    for (int64_t row : own_cases[k]) {
      auto i = static_cast<size_t>(row);
      error += std::abs(judged[i] - t[i]) / n;
      months += std::abs(std::exp(judged[i]) - std::exp(t[i])) / n;
    }
    constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
    report.per_judge_error.push_back(n > 0 ? error : kNaN);
    if (!decisions) report.per_judge_months.push_back(n > 0 ? months : kNaN);
  }
}

}  // namespace

int64_t Cases::groups() const {
  int64_t last = -1;
  for (int64_t g : group) last = std::max(last, g);
  return last + 1;
}

Cases log_cases(const JudgmentDataset& data) {
  if (data.x.rank() != 2 || data.group.size() != data.months.size() || data.x.size(0) != static_cast<int64_t>(data.group.size()))
    throw ShapeError("linco: features " + to_string(data.x.shape()) + ", " + std::to_string(data.group.size()) + " groups, " +
                     std::to_string(data.months.size()) + " terms");
  for (int64_t g : data.group)
    if (g < 0) throw ValueError("linco: groups are numbered from 0, one is " + std::to_string(g));
  return {data.x, to(log_terms(data.months), f32), data.group};
}

Cases select_cases(const Cases& cases, const std::vector<int64_t>& places) {
  Tensor at = from_vector(places);
  Cases part{index_select(cases.x, 0, at), index_select(cases.t, 0, at), {}};
  for (int64_t i : places) part.group.push_back(cases.group[static_cast<size_t>(i)]);
  return part;
}

Cases balanced(const Cases& cases, Generator& generator) {
  auto places = places_by_group(cases, cases.groups());
  check_groups(places);
  size_t n = smallest(places);
  std::vector<int64_t> chosen;
  for (auto& of_group : places) {
    shuffle(of_group, generator);
    chosen.insert(chosen.end(), of_group.begin(), of_group.begin() + static_cast<std::ptrdiff_t>(n));
  }
  return select_cases(cases, chosen);
}

JudgeTrainer ridge_judges(double penalty) {
  return [penalty](const Tensor& features, const Tensor& target, uint64_t) -> Judge {
    NoGrad off;
    Tensor x = to(features, f64), t = to(target, f64), centre = mean(x, {0}, true), middle = mean(t);
    int64_t d = x.size(1);
    Tensor shifted = x - centre, ridge = zeros({d, d}, f64);
    for (int64_t k = 0; k < d; ++k) ridge.data<double>()[k * (d + 1)] = penalty;
    Tensor w = solve(matmul(mT(shifted), shifted) + ridge, matmul(mT(shifted), t - middle));
    return [w, centre, middle](const Tensor& seen) { return matmul(to(seen, f64) - centre, w) + middle; };
  };
}

JudgeTrainer mlp_judges(const MlpJudgeOptions& o) {
  return [o](const Tensor& x, const Tensor& t, uint64_t seed) -> Judge {
    KeptGenerator keep;
    manual_seed(seed);
    auto network = std::make_shared<mlp::Mlp>(mlp::MlpConfig{.inputs = x.size(1), .hidden = o.hidden, .outputs = 1});
    optim::Adam adam(network->parameters(), {.lr = o.lr});
    // Differences from a judge's mean are learned, so that no judge spends its steps on getting there.
    double middle = o.decisions ? 0 : mean(t).item();
    for (int64_t step = 0; step < o.steps; ++step) {
      adam.set_lr_scale(0.5 * (1 + std::cos(3.14159265358979 * static_cast<double>(step) / static_cast<double>(o.steps))));
      Tensor rows = randint(0, x.size(0), {std::min(o.batch, x.size(0))});
      Tensor out = squeeze((*network)(index_select(x, 0, rows)), 1), wanted = index_select(t, 0, rows);
      adam.zero_grad();
      (o.decisions ? binary_cross_entropy_with_logits(out, wanted) : mean(square(out - (wanted - middle)))).backward();
      adam.step();
    }
    return [network, middle, decisions = o.decisions](const Tensor& seen) {
      NoGrad off;
      Tensor out = to(squeeze((*network)(seen), 1), f64);
      return decisions ? sigmoid(out) : out + middle;
    };
  };
}

Tensor JudgePanel::judge(const Tensor& x) const {
  NoGrad off;
  std::vector<Tensor> columns;
  for (const auto& of_group : judges_) {
    Tensor total;
    for (const Judge& judge : of_group) total = total.defined() ? total + judge(x) : judge(x);
    columns.push_back(to(total, f64) / static_cast<double>(of_group.size()));
  }
  return stack(columns, 1);
}

JudgePanel train_judges(const Cases& cases, const JudgeTrainer& trainer, const PanelOptions& o) {
  if (o.seeds < 1) throw ValueError("linco: a panel needs seeds >= 1, not " + std::to_string(o.seeds));
  auto places = places_by_group(cases, cases.groups());
  if (places.empty()) throw ValueError("linco: there are no cases");
  check_groups(places);
  Generator draws(o.seed);
  size_t most = smallest(places);
  std::vector<std::vector<Judge>> judges;
  for (size_t k = 0; k < places.size(); ++k) {
    shuffle(places[k], draws);
    if (o.equalise) places[k].resize(most);
    Cases own = select_cases(cases, places[k]);
    judges.emplace_back();
    for (int64_t s = 0; s < o.seeds; ++s)
      judges.back().push_back(trainer(own.x, own.t, o.seed * 1000 + static_cast<uint64_t>(s) + (o.same_start ? 0 : 100 * (k + 1))));
  }
  return JudgePanel(std::move(judges));
}

LincoReport measure_consistency(const Cases& train, const Cases& evaluation, const JudgeTrainer& trainer, const AuditOptions& o) {
  if (o.permutations < 1) throw ValueError("linco: permutations must be at least 1, not " + std::to_string(o.permutations));
  if (evaluation.size() == 0 || evaluation.groups() > train.groups())
    throw ValueError("linco: judged cases are of " + std::to_string(evaluation.groups()) + " groups, there are judges for " +
                     std::to_string(train.groups()));
  auto report_progress = [&](int64_t done) {
    if (o.progress) o.progress(static_cast<double>(done) / static_cast<double>(o.permutations + 1));
  };
  LincoReport report;
  JudgePanel panel = train_judges(train, trainer, o.panel);
  Tensor judgments = panel.judge(evaluation.x);
  std::vector<double> sigma;
  report.linco = disagreement(judgments, o.decisions, &sigma);
  report_progress(1);
  report.per_seed = of_each_seed(panel, evaluation.x, o.decisions);
  add_errors(report, judgments, evaluation, o.decisions);
  report.per_bin = by_severity(to_vector(mean(judgments, {1})), sigma, std::min(o.bins, evaluation.size()));
  Generator draws(o.panel.seed + 77);
  for (int64_t r = 0; r < o.permutations; ++r) {
    Cases dealt = train;
    shuffle(dealt.group, draws);
    report.nulls.push_back(disagreement(train_judges(dealt, trainer, o.panel).judge(evaluation.x), o.decisions));
    report_progress(r + 2);
  }
  double n = static_cast<double>(o.permutations), squares = 0;
  for (double v : report.nulls) report.null_mean += v / n;
  for (double v : report.nulls) squares += (v - report.null_mean) * (v - report.null_mean);
  report.null_std = n > 1 ? std::sqrt(squares / (n - 1)) : 0;
  report.excess = excess(report.linco, report.null_mean);
  report.p_value = permutation_p_value(report.linco, report.nulls);
  return report;
}

}  // namespace plumb::methods::linco

// Measuring everything that a page shows.
#include "methods/fairness/rai_inconsistency/audit.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <tuple>

#include "engine/autograd/grad_mode.h"
#include "models/metrics/bootstrap.h"
#include "models/metrics/loss_attack.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/shape.h"

namespace plumb::methods::rai_inconsistency {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kLevel = 0.95;
constexpr size_t kFewestDefined = 20;  // resamples that an interval needs

// A measure that is a mean over people: NaN for those it was not taken of.
struct PeopleMean {
  Measure measure;
  std::vector<double> of;
};

double mean_over(const std::vector<double>& of, const std::vector<int64_t>& rows) {
  double total = 0, count = 0;
  for (int64_t i : rows)
    if (double v = of[static_cast<size_t>(i)]; !std::isnan(v)) total += v, count += 1;
  return count > 0 ? total / count : kNaN;
}

std::vector<int64_t> all_rows(int64_t n) {
  std::vector<int64_t> rows;
  for (int64_t i = 0; i < n; ++i) rows.push_back(i);
  return rows;
}

// The rows of each group, by its number.
std::vector<std::vector<int64_t>> rows_by_group(const Tensor& a) {
  std::map<int64_t, std::vector<int64_t>> by_group;
  std::vector<int64_t> group = to_vector<int64_t>(a);
  for (size_t i = 0; i < group.size(); ++i) by_group[group[i]].push_back(static_cast<int64_t>(i));
  std::vector<std::vector<int64_t>> rows;
  for (auto& [number, of] : by_group) rows.push_back(std::move(of));
  return rows;
}

// As many people of each group as there are, with replacement.
std::vector<int64_t> resampled(const std::vector<std::vector<int64_t>>& groups, Generator& generator) {
  std::vector<int64_t> rows;
  for (const auto& g : groups)
    for (int64_t k : resample_indices(static_cast<int64_t>(g.size()), generator)) rows.push_back(g[static_cast<size_t>(k)]);
  return rows;
}

Range range_of(double value, std::vector<double> resamples, int64_t* undefined = nullptr) {
  size_t all = resamples.size();
  std::erase_if(resamples, [](double v) { return !std::isfinite(v); });
  if (undefined) *undefined = static_cast<int64_t>(all - resamples.size());
  if (!std::isfinite(value) || resamples.size() < kFewestDefined) return {value, kNaN, kNaN};
  BootstrapInterval interval = detail::interval_of_resamples(value, std::move(resamples), {}, kLevel);
  return {value, interval.low, interval.high};
}

std::vector<double> wrong_rows(const Tensor& logits, const Tensor& y, double threshold) {
  return to_vector(to(sigmoid(logits) >= threshold, f64) != to(y, f64));
}

// Neighbours among at most so many people, evenly spaced.
std::vector<double> inconsistency_of_people(const AuditInput& in) {
  const EvalContext& c = in.context;
  int64_t n = in.p.numel(), step = (n + in.most_neighbours - 1) / in.most_neighbours;
  std::vector<int64_t> rows;
  for (int64_t i = 0; i < n; i += step) rows.push_back(i);
  Tensor at = from_vector(rows);
  std::vector<double> of(static_cast<size_t>(n), kNaN),
      some = neighbour_inconsistency(index_select(in.p, 0, at) >= c.threshold, index_select(c.others, 0, at), c.neighbours);
  for (size_t k = 0; k < rows.size(); ++k) of[static_cast<size_t>(rows[k])] = some[k];
  return of;
}

std::vector<PeopleMean> means_of_people(const AuditInput& in) {
  const EvalContext& c = in.context;
  std::vector<PeopleMean> means;
  if (c.others.defined() && in.p.numel() > 2 * c.neighbours)
    means.push_back({{"neighbour inconsistency", "individual fairness"}, inconsistency_of_people(in)});
  if (!c.features.defined()) return means;
  Tensor attacked = fgsm(c.model, c.features, in.y, c.fgsm);
  NoGrad off;
  Tensor noisy = c.features + randn_like(c.features) * c.noise;
  means.push_back({{"error under noise", "robustness"}, wrong_rows(c.model({noisy})[0], in.y, c.threshold)});
  means.push_back({{"error under FGSM", "robustness"}, wrong_rows(c.model({attacked})[0], in.y, c.threshold)});
  return means;
}

// Resamples and permutations that are done, of all that an audit makes: people for measures, losses, then people for the trade-off.
class Work {
 public:
  explicit Work(const AuditInput& in) : in_(in) {}
  void one() {
    if (in_.progress) in_.progress(++done_, total());
  }
  // So many of the three parts are over, though one may have been left out.
  void part_over(int64_t parts) {
    int64_t due = in_.permutations + parts * in_.resamples;
    if (in_.progress && done_ < due) in_.progress(done_ = due, total());
  }

 private:
  int64_t total() const { return in_.permutations + 3 * in_.resamples; }

  const AuditInput& in_;
  int64_t done_ = 0;
};

MetricSuite on_rows(const AuditInput& in, const Tensor& p, const Tensor& y, const Tensor& a) {
  return evaluate_predictions(p, y, a, in.context.threshold, in.context.bins);
}

// Values of every prediction measure over resamples: [measure][resample].
using Samples = std::vector<std::vector<double>>;
void add(Samples& samples, const MetricSuite& suite) {
  samples.resize(suite.size());
  for (size_t k = 0; k < suite.size(); ++k) samples[k].push_back(suite[k].value);
}

void add_chance(AuditedMeasure& m, const std::vector<double>& permuted) {
  m.chance = m.p_value = kNaN;
  if (m.measure.kind != "group fairness" || std::isnan(m.range.value)) return;
  double total = 0, count = 0, as_large = 1;
  for (double v : permuted)
    if (!std::isnan(v)) total += v, count += 1, as_large += v >= m.range.value;
  if (count > 0) m.chance = total / count, m.p_value = as_large / (count + 1);
}

std::vector<AuditedMeasure> measured(const AuditInput& in, Generator& generator, Work& work) {
  MetricSuite suite = on_rows(in, in.p, in.y, in.a);
  std::vector<PeopleMean> means = means_of_people(in);
  std::vector<std::vector<int64_t>> groups = rows_by_group(in.a);
  Samples resamples, permuted;
  std::vector<std::vector<double>> of_means(means.size());
  for (int64_t r = 0; r < in.resamples; ++r) {
    std::vector<int64_t> rows = resampled(groups, generator);
    Tensor at = from_vector(rows);
    add(resamples, on_rows(in, index_select(in.p, 0, at), index_select(in.y, 0, at), index_select(in.a, 0, at)));
    for (size_t k = 0; k < means.size(); ++k) of_means[k].push_back(mean_over(means[k].of, rows));
    work.one();
  }
  for (int64_t r = 0; r < in.permutations; ++r) {
    Tensor order = randperm(in.a.numel(), {.dtype = i64, .generator = &generator});
    add(permuted, on_rows(in, in.p, in.y, index_select(in.a, 0, order)));
    work.one();
  }
  permuted.resize(suite.size());
  resamples.resize(suite.size());
  std::vector<AuditedMeasure> all;
  for (size_t k = 0; k < suite.size(); ++k) {
    AuditedMeasure m{.measure = suite[k]};
    m.range = range_of(suite[k].value, resamples[k], &m.undefined);
    add_chance(m, permuted[k]);
    all.push_back(m);
  }
  std::vector<int64_t> everyone = all_rows(in.p.numel());
  for (size_t k = 0; k < means.size(); ++k) {
    AuditedMeasure m{.measure = means[k].measure, .chance = kNaN, .p_value = kNaN};
    m.measure.value = mean_over(means[k].of, everyone);
    m.range = range_of(m.measure.value, of_means[k], &m.undefined);
    all.push_back(m);
  }
  return all;
}

void add_privacy(const AuditInput& in, Audit& out, Generator& generator, Work& work) {
  const EvalContext& c = in.context;
  if (c.member_losses.empty() || c.other_losses.empty()) {
    out.notes.push_back("Privacy was not measured: that needs the losses of training rows.");
    return;
  }
  metrics::LossAttack losses(c.member_losses, c.other_losses);
  metrics::MembershipAttack attack = losses.attack();
  std::vector<double> advantages, areas;
  for (int64_t r = 0; r < in.resamples; ++r) {
    metrics::MembershipAttack a = losses.resampled(generator);
    advantages.push_back(a.advantage), areas.push_back(a.auc);
    work.one();
  }
  for (auto [name, value, samples] :
       {std::tuple{"membership advantage", attack.advantage, &advantages}, {"membership AUC", attack.auc, &areas}}) {
    AuditedMeasure m{.measure = {name, "privacy", value}, .chance = kNaN, .p_value = kNaN};
    m.range = range_of(value, *samples, &m.undefined);
    out.measures.push_back(m);
  }
}

// -- what thresholds can trade ---------------------------------------------------------------------------------

struct Pair {
  size_t first, second;
};
constexpr Pair kPairs[] = {{0, 1}, {0, 2}, {1, 2}};

struct Levels {
  double joint, together[3], excess[3];
};

// What feasibility() and contradiction() say of all of them, in one pass.
Levels levels_of(const ThresholdFrontier& f) {
  double alone[kDefinitions], most = f.best_error() + f.budget();
  std::fill_n(alone, kDefinitions, INFINITY);
  Levels l{.joint = INFINITY, .together = {INFINITY, INFINITY, INFINITY}};
  for (const ThresholdPair& p : f.pairs()) {
    if (p.error > most) continue;
    for (size_t d = 0; d < kDefinitions; ++d) alone[d] = std::min(alone[d], p.gap[d]);
    for (size_t k = 0; k < 3; ++k) l.together[k] = std::min(l.together[k], std::max(p.gap[kPairs[k].first], p.gap[kPairs[k].second]));
    l.joint = std::min(l.joint, std::max({p.gap[0], p.gap[1], p.gap[2]}));
  }
  for (size_t k = 0; k < 3; ++k) l.excess[k] = l.together[k] - std::max(alone[kPairs[k].first], alone[kPairs[k].second]);
  return l;
}

// Places in `groups` of the two with the most rows, in ascending order.
std::pair<size_t, size_t> two_largest(const std::vector<std::vector<int64_t>>& groups) {
  size_t first = 0, second = 1;
  if (groups[1].size() > groups[0].size()) std::swap(first, second);
  for (size_t k = 2; k < groups.size(); ++k) {
    if (groups[k].size() > groups[first].size())
      second = first, first = k;
    else if (groups[k].size() > groups[second].size())
      second = k;
  }
  return {std::min(first, second), std::max(first, second)};
}

TradeOff trade_off(const AuditInput& in, const std::vector<std::vector<int64_t>>& two, Generator& generator, Work& work) {
  auto on = [&](const std::vector<int64_t>& rows) {
    Tensor at = from_vector(rows);
    return frontier(index_select(in.p, 0, at), index_select(in.y, 0, at), index_select(in.a, 0, at), in.grid, in.budget);
  };
  std::vector<int64_t> rows = two[0];
  rows.insert(rows.end(), two[1].begin(), two[1].end());
  TradeOff t{.frontier = on(rows)};
  Levels seen = levels_of(t.frontier);
  std::vector<double> joint, together[3], excess[3];
  for (int64_t r = 0; r < in.resamples; ++r) {
    try {
      Levels l = levels_of(on(resampled(two, generator)));
      joint.push_back(l.joint);
      for (size_t k = 0; k < 3; ++k) together[k].push_back(l.together[k]), excess[k].push_back(l.excess[k]);
    } catch (const ValueError&) {}  // a resample without one of the classes says nothing
    work.one();
  }
  t.joint = range_of(seen.joint, joint);
  for (size_t k = 0; k < 3; ++k)
    t.contradictions.push_back({kPairs[k].first, kPairs[k].second, t.frontier.feasibility({kPairs[k].first}),
                                t.frontier.feasibility({kPairs[k].second}), range_of(seen.together[k], together[k]),
                                range_of(seen.excess[k], excess[k])});
  std::ranges::stable_sort(t.contradictions, std::greater<>(), [](const Contradiction& c) { return c.excess.value; });
  return t;
}

void add_trade_off(const AuditInput& in, Audit& out, Generator& generator, Work& work) {
  std::vector<std::vector<int64_t>> groups = rows_by_group(in.a);
  auto [first, second] = two_largest(groups);
  std::vector<int64_t> number = to_vector<int64_t>(in.a);
  try {
    out.trade_off = trade_off(in, {groups[first], groups[second]}, generator, work);
    out.trade_off->groups[0] = number[static_cast<size_t>(groups[first][0])];
    out.trade_off->groups[1] = number[static_cast<size_t>(groups[second][0])];
  } catch (const ValueError& e) { out.notes.push_back(std::string("The trade-off front could not be drawn: ") + e.what()); }
}

}  // namespace

void AuditInput::check() const {
  if (resamples < 0 || permutations < 0 || most_neighbours < 2)
    throw ValueError("audit: needs resamples and permutations >= 0 and most_neighbours >= 2");
  if (!p.defined() || p.rank() != 1 || p.shape() != y.shape() || p.shape() != a.shape())
    throw ShapeError("audit: predictions, labels and groups must be vectors of one length");
  std::vector<int64_t> count(group_names.size());
  for (int64_t g : to_vector<int64_t>(a)) {
    if (g < 0 || g >= static_cast<int64_t>(count.size()))
      throw IndexError("audit: group " + std::to_string(g) + " has no name; there are " + std::to_string(count.size()));
    ++count[static_cast<size_t>(g)];
  }
  for (size_t g = 0; g < count.size(); ++g)
    if (count[g] < 2)
      throw ValueError("audit: group \"" + group_names[g] + "\" of " + protected_column + " has " +
                       (count[g] == 0 ? std::string("no rows") : std::string("one row")) + "; rates within a group need at least two");
}

Audit audit(const AuditInput& in, Generator& generator) {
  in.check();
  Audit out{.incompatibilities = incompatibilities(in.p, in.y, in.a, in.context.threshold), .notes = in.notes};
  Work work(in);
  out.measures = measured(in, generator, work);
  add_privacy(in, out, generator, work);
  work.part_over(2);
  add_trade_off(in, out, generator, work);
  work.part_over(3);
  return out;
}

}  // namespace plumb::methods::rai_inconsistency

// Reports on a pool of models.
#include "methods/fairness/rai_inconsistency/pool.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "engine/autograd/grad_mode.h"
#include "models/metrics/correlation.h"
#include "ops/linalg.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/shape.h"

namespace plumb::methods::rai_inconsistency {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

void check(const char* op, const Matrix& payoff) {
  if (payoff.empty() || payoff[0].empty()) throw ValueError(std::string(op) + ": needs models and measures");
  for (const auto& row : payoff) {
    if (row.size() != payoff[0].size())
      throw ShapeError(std::string(op) + ": a model has " + std::to_string(row.size()) + " measures, the first " +
                       std::to_string(payoff[0].size()));
    for (double v : row)
      if (!std::isfinite(v)) throw ValueError(std::string(op) + ": a measure is not finite");
  }
}

std::vector<double> column(const Matrix& m, size_t j) {
  std::vector<double> values;
  for (const auto& row : m) values.push_back(row[j]);
  return values;
}

size_t smallest(const std::vector<double>& values) {
  return static_cast<size_t>(std::min_element(values.begin(), values.end()) - values.begin());
}

// Mean 0 and deviation 1; empty if it does not vary.
std::vector<double> standardised(std::vector<double> v) {
  double n = static_cast<double>(v.size()), mean = 0, squares = 0;
  for (double x : v) mean += x / n;
  for (double x : v) squares += (x - mean) * (x - mean) / n;
  if (squares <= 1e-30 * (1 + mean * mean)) return {};
  for (double& x : v) x = (x - mean) / std::sqrt(squares);
  return v;
}

// z of every model; a measure whose nadir is its ideal has none.
Matrix scaled(const Matrix& payoff, const Compromise& c) {
  Matrix z;
  for (const auto& row : payoff) {
    z.emplace_back();
    for (size_t j = 0; j < row.size(); ++j)
      z.back().push_back(c.nadir[j] > c.ideal[j] ? (row[j] - c.ideal[j]) / (c.nadir[j] - c.ideal[j]) : 0);
  }
  return z;
}

Compromise scales(const Matrix& payoff) {
  Compromise c;
  Winners best = winners(payoff);
  for (size_t j = 0; j < payoff[0].size(); ++j) {
    std::vector<double> values = column(payoff, j);
    c.ideal.push_back(values[best.winner[j]]);
    double nadir = -INFINITY;
    for (size_t m : best.winner) nadir = std::max(nadir, values[m]);
    c.nadir.push_back(nadir);
  }
  return c;
}

}  // namespace

RashomonReport rashomon(const std::vector<double>& errors, const std::vector<std::vector<int>>& decisions, const Matrix& metrics,
                        double epsilon) {
  if (errors.empty() || decisions.empty() || decisions[0].empty() || !(epsilon >= 0))
    throw ValueError("rashomon: needs models, people and epsilon >= 0");
  if (decisions.size() != errors.size() || (!metrics.empty() && metrics.size() != errors.size()))
    throw ShapeError("rashomon: " + std::to_string(errors.size()) + " errors, " + std::to_string(decisions.size()) +
                     " rows of decisions, " + std::to_string(metrics.size()) + " of measures");
  size_t people = decisions[0].size();
  for (const auto& d : decisions)
    if (d.size() != people)
      throw ShapeError("rashomon: decisions on " + std::to_string(d.size()) + " people, the first on " + std::to_string(people));
  RashomonReport r{.best = smallest(errors)};
  for (size_t m = 0; m < errors.size(); ++m)
    if (errors[m] <= errors[r.best] + epsilon) r.members.push_back(m);
  double torn = 0;
  for (size_t i = 0; i < people; ++i)
    torn += std::ranges::any_of(r.members, [&](size_t m) { return decisions[m][i] != decisions[r.members[0]][i]; });
  r.ambiguity = torn / static_cast<double>(people);
  for (size_t m : r.members) {
    double changed = 0;
    for (size_t i = 0; i < people; ++i) changed += decisions[m][i] != decisions[r.best][i];
    r.discrepancy = std::max(r.discrepancy, changed / static_cast<double>(people));
  }
  if (metrics.empty()) return r;
  r.low.assign(metrics[0].size(), INFINITY), r.high.assign(metrics[0].size(), -INFINITY);
  for (size_t m : r.members)
    for (size_t j = 0; j < r.low.size(); ++j)
      r.low[j] = std::min(r.low[j], metrics[m].at(j)), r.high[j] = std::max(r.high[j], metrics[m].at(j));
  return r;
}

Winners winners(const Matrix& payoff) {
  check("winners", payoff);
  Winners w;
  size_t measures = payoff[0].size();
  for (size_t j = 0; j < measures; ++j) w.winner.push_back(smallest(column(payoff, j)));
  w.distinct = std::set<size_t>(w.winner.begin(), w.winner.end()).size();
  for (size_t i = 0; i < measures; ++i) {
    w.regret.emplace_back();
    for (size_t j = 0; j < measures; ++j) w.regret.back().push_back(payoff[w.winner[i]][j] - payoff[w.winner[j]][j]);
  }
  return w;
}

Compromise compromise(const Matrix& payoff) {
  check("compromise", payoff);
  Compromise c = scales(payoff);
  for (const auto& row : scaled(payoff, c)) c.worst.push_back(*std::ranges::max_element(row));
  c.model = smallest(c.worst);
  c.level = c.worst[c.model];
  return c;
}

Choices choices(const Matrix& payoff, const std::vector<Stakeholder>& stakeholders) {
  check("choices", payoff);
  Matrix z = scaled(payoff, scales(payoff)), cost;  // cost[s][model]
  Choices out;
  for (const Stakeholder& s : stakeholders) {
    if (s.weights.size() != payoff[0].size())
      throw ShapeError("choices: " + s.name + " has " + std::to_string(s.weights.size()) + " weights for " +
                       std::to_string(payoff[0].size()) + " measures");
    cost.emplace_back();
    for (const auto& row : z) {
      double total = 0;
      for (size_t j = 0; j < row.size(); ++j) total += s.weights[j] * row[j];
      cost.back().push_back(total);
    }
    out.model.push_back(smallest(cost.back()));
  }
  for (size_t s = 0; s < cost.size(); ++s) {
    out.regret.emplace_back();
    for (size_t t = 0; t < cost.size(); ++t) out.regret.back().push_back(cost[t][out.model[s]] - cost[t][out.model[t]]);
  }
  return out;
}

// With H = X (XᵀX + λI)⁻¹ Xᵀ the residual of model i when it is left out is (y − H y)_i / (1 − H_ii).
double leave_one_out_r2(const Matrix& payoff, size_t target, const std::vector<size_t>& predictors, double penalty) {
  check("leave_one_out_r2", payoff);
  NoGrad off;
  std::vector<double> y = standardised(column(payoff, target)), rows;
  if (y.empty()) return kNaN;
  Matrix columns;
  for (size_t j : predictors)
    if (std::vector<double> v = standardised(column(payoff, j)); !v.empty()) columns.push_back(v);
  for (size_t i = 0; i < y.size(); ++i) {
    for (const auto& c : columns) rows.push_back(c[i]);
    rows.push_back(1);
  }
  auto n = static_cast<int64_t>(y.size()), d = static_cast<int64_t>(columns.size()) + 1;
  Tensor x = from_vector(rows, {n, d}), identity = zeros({d, d}, f64);
  for (int64_t k = 0; k < d; ++k) identity.data<double>()[k * (d + 1)] = penalty;
  std::vector<double> hat = to_vector(matmul(x, solve(matmul(mT(x), x) + identity, mT(x))));
  double squares = 0;
  for (size_t i = 0; i < y.size(); ++i) {
    double fitted = 0;
    for (size_t k = 0; k < y.size(); ++k) fitted += hat[i * y.size() + k] * y[k];
    double residual = (y[i] - fitted) / (1 - hat[i * y.size() + i]);
    squares += residual * residual;
  }
  return 1 - squares / static_cast<double>(y.size());
}

double effective_rank(const Matrix& payoff) {
  check("effective_rank", payoff);
  NoGrad off;
  std::vector<std::vector<double>> varying;
  for (size_t j = 0; j < payoff[0].size(); ++j)
    if (std::vector<double> v = standardised(column(payoff, j)); !v.empty()) varying.push_back(v);
  if (varying.empty()) return 0;
  auto m = static_cast<int64_t>(varying.size());
  std::vector<double> correlation;
  for (const auto& a : varying)
    for (const auto& b : varying) {
      double along = 0;
      for (size_t i = 0; i < a.size(); ++i) along += a[i] * b[i] / static_cast<double>(a.size());
      correlation.push_back(along);
    }
  double entropy = 0;
  for (double w : to_vector(eigh(from_vector(correlation, {m, m})).values)) {
    double share = w / static_cast<double>(m);
    if (share > 0) entropy -= share * std::log(share);
  }
  return std::exp(entropy);
}

Matrix rank_correlations(const Matrix& payoff) {
  check("rank_correlations", payoff);
  Matrix all;
  for (size_t i = 0; i < payoff[0].size(); ++i) {
    all.emplace_back();
    for (size_t j = 0; j < payoff[0].size(); ++j) all.back().push_back(spearman_correlation(column(payoff, i), column(payoff, j)));
  }
  return all;
}

}  // namespace plumb::methods::rai_inconsistency

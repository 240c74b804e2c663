// Expectation and maximisation on the line, and thresholds from it.
#include "methods/semi_supervised/consistent_teacher/score_threshold.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <numbers>
#include <numeric>

#include "engine/core/error.h"

namespace plumb::methods::consistent_teacher {

double GaussianMixture1D::log_joint(double x, size_t k) const {
  return std::log(weight[k]) - 0.5 * std::log(2 * std::numbers::pi * variance[k]) - (x - mean[k]) * (x - mean[k]) / (2 * variance[k]);
}

double GaussianMixture1D::log_density(double x) const {
  double a = log_joint(x, 0), b = log_joint(x, 1), most = std::max(a, b);
  return most + std::log(std::exp(a - most) + std::exp(b - most));
}

namespace {

// One round: shares of the second component from the mixture as it is, then the mixture that they make. Gives the mean log-likelihood
// before.
double em_round(GaussianMixture1D& m, const std::vector<double>& x, double floor) {
  std::array<double, 2> count{}, sum{}, square{};
  std::vector<double> share;
  double likelihood = 0;
  for (double v : x) {
    double density = m.log_density(v);
    likelihood += density / static_cast<double>(x.size());
    share.push_back(std::exp(m.log_joint(v, 1) - density));
  }
  auto of = [&](size_t i, size_t k) { return k == 1 ? share[i] : 1 - share[i]; };
  for (size_t k : {0u, 1u}) {
    for (size_t i = 0; i < x.size(); ++i) count[k] += of(i, k), sum[k] += of(i, k) * x[i];
    count[k] += 1e-15;  // a component that nothing belongs to does not divide by 0
    m.mean[k] = sum[k] / count[k];
    for (size_t i = 0; i < x.size(); ++i) square[k] += of(i, k) * (x[i] - m.mean[k]) * (x[i] - m.mean[k]);
    m.variance[k] = square[k] / count[k] + floor;
  }
  for (size_t k : {0u, 1u}) m.weight[k] = count[k] / (count[0] + count[1]);
  return likelihood;
}

}  // namespace

GaussianMixture1D GaussianMixture1D::fit(const std::vector<double>& x, const MixtureRule& rule) {
  if (x.empty()) throw ValueError("gaussian_mixture: there are no numbers to fit");
  if (!(rule.start_variance > 0) || rule.iterations < 1 || !(rule.floor >= 0))
    throw ValueError(fmt::format("gaussian_mixture: start variance {:g}, {} iterations and floor {:g} are out of range",
                                 rule.start_variance, rule.iterations, rule.floor));
  GaussianMixture1D m;
  auto [low, high] = std::ranges::minmax(x);
  m.mean = {low, high};
  m.variance = {rule.start_variance, rule.start_variance};
  double before = -INFINITY;
  while (m.iterations < rule.iterations) {
    double likelihood = em_round(m, x, rule.floor);
    ++m.iterations;
    if (std::abs(likelihood - before) < rule.tolerance) break;
    before = likelihood;
  }
  return m;
}

double mixture_threshold(const std::vector<double>& scores, ThresholdPolicy policy, const MixtureRule& rule) {
  if (scores.size() < 4) return 0;
  GaussianMixture1D m = GaussianMixture1D::fit(scores, rule);
  double chosen = 0, densest = -INFINITY, smallest = INFINITY;
  for (double s : scores) {
    if (!m.upper(s)) continue;
    smallest = std::min(smallest, s);
    if (double d = m.log_density(s); d > densest) densest = d, chosen = s;
  }
  if (std::isinf(smallest)) return 0;
  return policy == ThresholdPolicy::high ? chosen : smallest;
}

double expected_count_bound(const std::vector<double>& scores) {
  if (scores.empty()) return -INFINITY;
  std::vector<double> falling = scores;
  std::ranges::sort(falling, std::greater<>());
  auto n = static_cast<size_t>(std::max(0.0, std::floor(std::accumulate(falling.begin(), falling.end(), 0.0) + 0.5)));
  return falling[std::min(n, falling.size() - 1)] - 1e-5;
}

ScoreThreshold::ScoreThreshold(int64_t classes, int64_t capacity, ThresholdPolicy policy, MixtureRule rule)
    : capacity_(static_cast<size_t>(std::max<int64_t>(capacity, 0))), policy_(policy), rule_(rule) {
  if (classes < 1) throw ValueError(fmt::format("score_threshold: needs at least one class, not {}", classes));
  if (capacity < 1) throw ValueError(fmt::format("score_threshold: the capacity must be at least 1, it is {}", capacity));
  buffers_.resize(static_cast<size_t>(classes));
}

std::vector<double> ScoreThreshold::update(const std::vector<int64_t>& classes, const std::vector<double>& scores) {
  if (classes.size() != scores.size())
    throw ShapeError(fmt::format("score_threshold: {} classes for {} scores", classes.size(), scores.size()));
  for (int64_t c : classes)
    if (c < 0 || c >= static_cast<int64_t>(buffers_.size()))
      throw IndexError(fmt::format("score_threshold: class {} is outside [0, {})", c, buffers_.size()));
  for (size_t i = 0; i < scores.size(); ++i) {
    if (scores[i] == 0) continue;
    std::deque<double>& buffer = buffers_[static_cast<size_t>(classes[i])];
    buffer.push_front(scores[i]);
    if (buffer.size() > capacity_) buffer.pop_back();
  }
  return thresholds();
}

std::vector<double> ScoreThreshold::thresholds() const {
  std::vector<double> all;
  for (const auto& buffer : buffers_) all.push_back(mixture_threshold({buffer.begin(), buffer.end()}, policy_, rule_));
  return all;
}

}  // namespace plumb::methods::consistent_teacher

// Paired and unpaired tests.
#include "models/metrics/hypothesis.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

#include "engine/core/error.h"
#include "models/metrics/correlation.h"
#include "models/metrics/intervals.h"
#include "models/metrics/normal.h"

namespace plumb {
namespace {

std::vector<double> differences(const char* op, std::span<const double> a, std::span<const double> b, size_t least) {
  if (a.size() != b.size())
    throw ValueError(std::string(op) + ": " + std::to_string(a.size()) + " values beside " + std::to_string(b.size()) +
                     "; they must be pairs");
  if (a.size() < least)
    throw ValueError(std::string(op) + ": needs at least " + std::to_string(least) + " pairs, got " + std::to_string(a.size()));
  std::vector<double> d;
  for (size_t i = 0; i < a.size(); ++i) {
    d.push_back(a[i] - b[i]);
    if (!std::isfinite(d.back())) throw ValueError(std::string(op) + ": the difference of pair " + std::to_string(i) + " is not finite");
  }
  return d;
}

double mean_of(std::span<const double> v) { return std::accumulate(v.begin(), v.end(), 0.0) / static_cast<double>(v.size()); }

// Sums that are equal but for rounding count as equal.
double tolerance(std::span<const double> v) {
  double total = 0;
  for (double x : v) total += std::abs(x);
  return total * static_cast<double>(v.size()) * std::numeric_limits<double>::epsilon();
}

double share_of_all_signs(const std::vector<double>& d, double seen) {
  uint64_t patterns = uint64_t{1} << d.size(), extreme = 0;
  for (uint64_t signs = 0; signs < patterns; ++signs) {
    double total = 0;
    for (size_t i = 0; i < d.size(); ++i) total += signs >> i & 1 ? -d[i] : d[i];
    extreme += std::abs(total) >= seen ? 1 : 0;
  }
  return static_cast<double>(extreme) / static_cast<double>(patterns);
}

double share_of_random_signs(const std::vector<double>& d, double seen, int64_t samples, Generator& generator) {
  int64_t extreme = 1;
  for (int64_t s = 0; s < samples; ++s) {
    double total = 0;
    for (double x : d) total += generator.next_u32() & 1 ? -x : x;
    extreme += std::abs(total) >= seen ? 1 : 0;
  }
  return static_cast<double>(extreme) / static_cast<double>(samples + 1);
}

// P(W⁺ ≤ w) where each rank counts with probability ½; ranks doubled are whole numbers, ties or not.
double signed_rank_cdf(const std::vector<double>& ranks, double w) {
  std::vector<double> share{1};  // of twice the sum
  for (double rank : ranks) {
    auto step = static_cast<size_t>(std::lround(2 * rank));
    std::vector<double> next(share.size() + step);
    for (size_t s = 0; s < share.size(); ++s) next[s] += share[s] / 2, next[s + step] += share[s] / 2;
    share = std::move(next);
  }
  double total = 0;
  for (size_t s = 0; s < share.size() && static_cast<double>(s) <= 2 * w + 0.5; ++s) total += share[s];
  return total;
}

void check_samples(const char* op, int64_t samples) {
  if (samples < 1) throw ValueError(std::string(op) + ": needs at least 1 sample, got " + std::to_string(samples));
}

}  // namespace

TestResult paired_t_test(std::span<const double> a, std::span<const double> b) {
  std::vector<double> d = differences("paired_t_test", a, b, 2);
  double n = static_cast<double>(d.size()), mean = mean_of(d), squares = 0;
  for (double x : d) squares += (x - mean) * (x - mean);
  bool equal = std::ranges::all_of(d, [&](double x) { return x == d[0]; });  // whose mean is rounded
  if (equal || squares == 0) return {mean == 0 ? 0 : std::copysign(std::numeric_limits<double>::infinity(), mean), mean == 0 ? 1.0 : 0.0};
  double t = mean / std::sqrt(squares / (n - 1) / n);
  return {t, 2 * student_t_cdf(-std::abs(t), n - 1)};
}

TestResult sign_flip_test(std::span<const double> a, std::span<const double> b, int64_t samples, Generator* generator) {
  std::vector<double> d = differences("sign_flip_test", a, b, 1);
  check_samples("sign_flip_test", samples);
  double seen = std::abs(std::accumulate(d.begin(), d.end(), 0.0)) - tolerance(d);
  double p =
      d.size() <= 20 ? share_of_all_signs(d, seen) : share_of_random_signs(d, seen, samples, generator ? *generator : default_generator());
  return {mean_of(d), p};
}

TestResult wilcoxon_test(std::span<const double> a, std::span<const double> b) {
  std::vector<double> d = differences("wilcoxon_test", a, b, 1), sizes;
  std::erase(d, 0.0);
  for (double x : d) sizes.push_back(std::abs(x));
  std::vector<double> ranks = average_ranks(sizes);
  double w = 0, all = 0, squares = 0;
  for (size_t i = 0; i < d.size(); ++i) {
    w += d[i] > 0 ? ranks[i] : 0;
    all += ranks[i];
    squares += ranks[i] * ranks[i];
  }
  if (d.empty()) return {0, 1};
  double small = std::min(w, all - w);
  double tail = d.size() <= 60 ? signed_rank_cdf(ranks, small) : normal_cdf((small - all / 2) / std::sqrt(squares / 4));
  return {w, std::min(1.0, 2 * tail)};
}

TestResult mcnemar_test(std::span<const double> a_correct, std::span<const double> b_correct) {
  std::vector<double> d = differences("mcnemar_test", a_correct, b_correct, 1);
  double only_a = 0, only_b = 0;
  for (size_t i = 0; i < d.size(); ++i) {
    for (double v : {a_correct[i], b_correct[i]})
      if (v != 0 && v != 1) throw ValueError("mcnemar_test: value " + std::to_string(i) + " must be 0 or 1, it is " + decimal(v));
    only_a += d[i] > 0 ? 1 : 0;
    only_b += d[i] < 0 ? 1 : 0;
  }
  double n = only_a + only_b, tail = 0;
  for (double k = 0; k <= std::min(only_a, only_b); ++k)
    tail += std::exp(std::lgamma(n + 1) - std::lgamma(k + 1) - std::lgamma(n - k + 1) - n * std::log(2.0));
  return {only_a - only_b, std::min(1.0, 2 * tail)};
}

TestResult permutation_test(std::span<const double> a, std::span<const double> b, int64_t samples, Generator* generator) {
  if (a.empty() || b.empty()) throw ValueError("permutation_test: a sample is empty");
  check_samples("permutation_test", samples);
  std::vector<double> all(a.begin(), a.end());
  all.insert(all.end(), b.begin(), b.end());
  Generator& g = generator ? *generator : default_generator();
  auto difference = [&] { return mean_of(std::span(all).first(a.size())) - mean_of(std::span(all).subspan(a.size())); };
  double found = difference(), seen = std::abs(found) - tolerance(all) / static_cast<double>(std::min(a.size(), b.size()));
  int64_t extreme = 1;
  for (int64_t s = 0; s < samples; ++s) {
    for (size_t i = 0; i < a.size(); ++i) std::swap(all[i], all[i + g.next_below(all.size() - i)]);
    extreme += std::abs(difference()) >= seen ? 1 : 0;
  }
  return {found, static_cast<double>(extreme) / static_cast<double>(samples + 1)};
}

}  // namespace plumb

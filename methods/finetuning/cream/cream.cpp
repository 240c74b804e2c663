// The consistency of rankings as confidence.
#include "methods/finetuning/cream/cream.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "engine/core/error.h"
#include "models/metrics/correlation.h"

namespace plumb::methods::cream {
namespace {

void check_scores(std::span<const double> scores) {
  for (double s : scores)
    if (!std::isfinite(s)) throw ValueError(fmt::format("cream: a score must be finite, it is {}", s));
}

// Ordinal ranks have no ties, so ρ = 1 − 6 Σ d² / (n (n² − 1)): whole numbers, and exactly ±1 at the ends.
double spearman(const std::vector<double>& a, const std::vector<double>& b) {
  double squares = 0, n = static_cast<double>(a.size());
  for (size_t i = 0; i < a.size(); ++i) squares += (a[i] - b[i]) * (a[i] - b[i]);
  return 1 - 6 * squares / (n * (n * n - 1));
}

// The C_j of the prompts that make a pair; −1 where there is none.
std::map<int64_t, double> of_each(const std::vector<preference::Judged>& judged, Agreement agreement) {
  std::map<int64_t, double> out;
  for (const auto& j : judged) {
    if (!preference::best_and_worst(j.current)) continue;
    out[j.prompt] = j.previous.empty() ? -1 : consistency(j.current, j.previous, agreement);
  }
  return out;
}

double mean_of(const std::map<int64_t, double>& each) {
  double total = 0, count = 0;
  for (auto [prompt, c] : each)
    if (c >= 0) total += c, ++count;
  if (count == 0)
    throw ValueError(fmt::format("cream: none of {} prompts that make a pair has a ranking by the previous model", each.size()));
  return total / count;
}

}  // namespace

double consistency(std::span<const double> current, std::span<const double> previous, Agreement agreement) {
  if (current.size() != previous.size())
    throw ValueError(fmt::format("cream: {} scores by the current model, {} by the previous one", current.size(), previous.size()));
  if (current.size() < 2) throw ValueError(fmt::format("cream: a ranking needs at least 2 answers, got {}", current.size()));
  check_scores(current);
  check_scores(previous);
  // The answers that make pairs: of equal scores the first.
  if (agreement == Agreement::top_order) return preference::best_and_worst(current) == preference::best_and_worst(previous) ? 1 : 0;
  std::vector<double> a = ordinal_ranks(current), b = ordinal_ranks(previous);
  return ((agreement == Agreement::kendall ? kendall_correlation(a, b) : spearman(a, b)) + 1) / 2;
}

std::map<int64_t, double> label_confidences(const std::vector<preference::Judged>& judged, Level level, Agreement agreement) {
  std::map<int64_t, double> out = of_each(judged, agreement);
  if (out.empty()) return out;
  double mean = mean_of(out);
  for (auto& [prompt, c] : out)
    if (level == Level::set || c < 0) c = mean;
  return out;
}

preference::LabelConfidence ranking_consistency(Level level, Agreement agreement) {
  return [=](const std::vector<preference::Judged>& judged) { return label_confidences(judged, level, agreement); };
}

preference::LabelConfidence random_confidence(Generator& generator) {
  return [&generator](const std::vector<preference::Judged>& judged) {
    std::map<int64_t, double> out;
    for (const auto& j : judged) out[j.prompt] = generator.next_double();
    return out;
  };
}

double mean_consistency(const std::vector<preference::Judged>& judged, Agreement agreement) { return mean_of(of_each(judged, agreement)); }

double confidence_of_strength(double lambda) {
  if (!(lambda >= 0)) throw ValueError(fmt::format("cream: the strength of the regulariser must not be negative, it is {}", lambda));
  return std::isinf(lambda) ? 0.5 : (1 + lambda / 2) / (1 + lambda);
}

}  // namespace plumb::methods::cream

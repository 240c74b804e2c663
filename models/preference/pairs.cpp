// Best against worst.
#include "models/preference/pairs.h"

#include <fmt/format.h>

#include <cmath>
#include <set>

#include "engine/core/error.h"

namespace plumb::preference {
namespace {

void check_confidence(double c) {
  if (!(c >= 0 && c <= 1)) throw ValueError(fmt::format("preference: a confidence must lie in [0, 1], it is {}", c));
}

void check(const std::vector<Judged>& judged) {
  std::set<int64_t> seen;
  for (const Judged& j : judged) {
    if (!seen.insert(j.prompt).second) throw ValueError(fmt::format("preference: prompt {} occurs twice", j.prompt));
    if (j.current.size() != j.answers.size())
      throw ValueError(fmt::format("preference: prompt {} has {} answers and {} scores", j.prompt, j.answers.size(), j.current.size()));
  }
}

}  // namespace

std::optional<std::pair<size_t, size_t>> best_and_worst(std::span<const double> scores) {
  if (scores.size() < 2) throw ValueError(fmt::format("preference: a pair is chosen among at least 2 answers, got {}", scores.size()));
  size_t best = 0, worst = 0;
  for (size_t i = 0; i < scores.size(); ++i) {
    if (!std::isfinite(scores[i])) throw ValueError(fmt::format("preference: score {} of an answer is not finite: {}", i, scores[i]));
    if (scores[i] > scores[best]) best = i;
    if (scores[i] < scores[worst]) worst = i;
  }
  if (best == worst) return {};
  return std::pair{best, worst};
}

LabelConfidence constant_confidence(double c) {
  check_confidence(c);
  return [c](const std::vector<Judged>& judged) {
    std::map<int64_t, double> out;
    for (const Judged& j : judged) out[j.prompt] = c;
    return out;
  };
}

std::vector<Pair> make_pairs(const std::vector<Judged>& judged, const LabelConfidence& confidence, const LengthLimits& limits) {
  check(judged);
  std::map<int64_t, double> confidences = confidence(judged);
  std::vector<Pair> pairs;
  for (const Judged& j : judged) {
    auto places = best_and_worst(j.current);
    if (!places) continue;
    auto found = confidences.find(j.prompt);
    if (found == confidences.end()) throw ValueError(fmt::format("preference: prompt {} makes a pair and has no confidence", j.prompt));
    check_confidence(found->second);
    Pair pair{j.prompt, j.question, j.answers[places->first], j.answers[places->second], found->second};
    auto fits = [&](const Tokens& answer) {
      auto length = static_cast<int64_t>(j.question.size() + answer.size());
      return length >= limits.shortest && length <= limits.longest;
    };
    if (fits(pair.chosen) && fits(pair.rejected)) pairs.push_back(std::move(pair));
  }
  return pairs;
}

}  // namespace plumb::preference

// From scored answers to preference pairs: the best and the worst answer of each prompt, with how far the pair is to be trusted.
#pragma once
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <utility>

#include "models/preference/answers.h"

namespace plumb::preference {

/// A prompt's answers and their scores by the model as it is and as it was a round before. `prompt` is what the caller knows it by;
/// previous may be empty: that judge had nothing to say.
struct Judged {
  int64_t prompt = 0;
  Tokens question;
  std::vector<Tokens> answers;
  std::vector<double> current, previous;
};

struct Pair {
  int64_t prompt = 0;
  Tokens question, chosen, rejected;
  double confidence = 1;
};

/// Places of the largest and the smallest score, the first of equal ones; none if all scores are equal. Throws ValueError for fewer than
/// two scores or one that is not finite.
std::optional<std::pair<size_t, size_t>> best_and_worst(std::span<const double> scores);

/// The label confidence of each prompt that makes a pair, by Judged::prompt (a map, so that a prompt that is left out shifts nobody's).
using LabelConfidence = std::function<std::map<int64_t, double>(const std::vector<Judged>&)>;
/// C for every prompt: 1 is plain DPO, less is label smoothing. Throws ValueError outside [0, 1].
LabelConfidence constant_confidence(double c);

struct LengthLimits {
  int64_t shortest = 5, longest = 2048;  ///< tokens of a prompt and its answer together
};

/// One pair for each prompt whose scores differ and whose two sequences keep the limits, in order. Throws ValueError for numbers of scores
/// and answers that differ, a confidence outside [0, 1] or missing for a pair, a prompt that occurs twice, and as best_and_worst.
std::vector<Pair> make_pairs(const std::vector<Judged>& judged, const LabelConfidence& confidence, const LengthLimits& limits = {});

}  // namespace plumb::preference

// Perplexity and BLEU.
#include "models/metrics/text_quality.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "engine/autograd/grad_mode.h"
#include "ops/loss.h"

namespace plumb::metrics {
namespace {

using Counts = std::map<std::vector<int32_t>, int64_t>;

Counts n_grams(const Sentence& sentence, size_t n) {
  Counts counts;
  for (size_t i = 0; i + n <= sentence.size(); ++i)
    ++counts[{sentence.begin() + static_cast<std::ptrdiff_t>(i), sentence.begin() + static_cast<std::ptrdiff_t>(i + n)}];
  return counts;
}

// Each n-gram as often as the reference that has it most.
Counts most_of(const std::vector<Sentence>& references, size_t n) {
  Counts most;
  for (const Sentence& r : references)
    for (const auto& [gram, count] : n_grams(r, n)) most[gram] = std::max(most[gram], count);
  return most;
}

int64_t nearest_length(const std::vector<Sentence>& references, int64_t length) {
  int64_t best = -1;
  for (const Sentence& r : references) {
    auto own = static_cast<int64_t>(r.size());
    int64_t distance = std::abs(own - length), least = std::abs(best - length);
    if (best < 0 || distance < least || (distance == least && own < best)) best = own;
  }
  return best;
}

}  // namespace

void Perplexity::add(const Tensor& logits, const Tensor& targets) {
  NoGrad off;
  Tensor losses = cross_entropy(logits, targets, {.ignore_index = ignore_index_, .reduction = Reduction::none});
  double total = 0;
  for (double loss : to_vector(losses)) total += loss;  // in f64; what is ignored is 0
  std::vector<int64_t> t = to_vector<int64_t>(targets);
  total_ += total;
  tokens_ += std::ranges::count_if(t, [&](int64_t token) { return token != ignore_index_; });
}

double Perplexity::value() const { return std::exp(nats()); }

Bleu bleu(const std::vector<Sentence>& hypotheses, const std::vector<std::vector<Sentence>>& references, const BleuOptions& o) {
  if (hypotheses.size() != references.size())
    throw ValueError("bleu: " + std::to_string(hypotheses.size()) + " hypotheses beside references of " +
                     std::to_string(references.size()));
  if (o.longest < 1) throw ValueError("bleu: the longest n-gram must have at least 1 token, not " + std::to_string(o.longest));
  Bleu found;
  for (size_t i = 0; i < hypotheses.size(); ++i) {
    if (references[i].empty()) throw ValueError("bleu: hypothesis " + std::to_string(i) + " has no reference");
    found.length += static_cast<int64_t>(hypotheses[i].size());
    found.reference_length += nearest_length(references[i], static_cast<int64_t>(hypotheses[i].size()));
  }
  double logs = 0;
  for (int64_t n = 1; n <= o.longest; ++n) {
    double right = 0, all = 0;
    for (size_t i = 0; i < hypotheses.size(); ++i) {
      Counts most = most_of(references[i], static_cast<size_t>(n));
      for (const auto& [gram, count] : n_grams(hypotheses[i], static_cast<size_t>(n))) {
        auto seen = most.find(gram);
        right += seen == most.end() ? 0 : static_cast<double>(std::min(count, seen->second));
        all += static_cast<double>(count);
      }
    }
    if (o.smoothing && n > 1) right += 1, all += 1;
    found.precisions.push_back(all == 0 ? 0 : right / all);
    logs += std::log(found.precisions.back()) / static_cast<double>(o.longest);
  }
  double shortness = found.length == 0 ? 0 : std::exp(1 - static_cast<double>(found.reference_length) / static_cast<double>(found.length));
  found.brevity_penalty = std::min(1.0, shortness);
  found.score = found.brevity_penalty * std::exp(logs);  // a precision of 0 makes it 0
  return found;
}

Bleu bleu(const std::vector<std::vector<std::string>>& hypotheses, const std::vector<std::vector<std::vector<std::string>>>& references,
          const BleuOptions& options) {
  std::map<std::string, int32_t> numbers;
  auto numbered = [&](const std::vector<std::string>& words) {
    Sentence sentence;
    for (const std::string& word : words) sentence.push_back(numbers.try_emplace(word, static_cast<int32_t>(numbers.size())).first->second);
    return sentence;
  };
  std::vector<Sentence> h;
  std::vector<std::vector<Sentence>> r;
  for (const auto& words : hypotheses) h.push_back(numbered(words));
  for (const auto& of_one : references) {
    r.emplace_back();
    for (const auto& words : of_one) r.back().push_back(numbered(words));
  }
  return bleu(h, r, options);
}

}  // namespace plumb::metrics

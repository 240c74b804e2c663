// Beam search. The running sequences are the rows of one batch, whose cache is reordered at each step. Scores are in double.
#include "models/transformer/beam_search.h"

#include <algorithm>
#include <cmath>

#include "engine/autograd/grad_mode.h"
#include "ops/shape.h"

namespace plumb::transformer {
namespace {

struct Candidate {
  double log_probability;
  int64_t row;
  int32_t token;
};

// The `count` best continuations of all rows by one token; among equals the first row and the lowest token come first.
std::vector<Candidate> best_continuations(const std::vector<double>& logits, const std::vector<Hypothesis>& running, size_t count) {
  size_t vocab = logits.size() / running.size();
  std::vector<Candidate> all;
  all.reserve(logits.size());
  for (size_t r = 0; r < running.size(); ++r) {
    const double* row = logits.data() + r * vocab;
    double most = *std::max_element(row, row + vocab), total = 0;
    for (size_t v = 0; v < vocab; ++v) total += std::exp(row[v] - most);
    double shift = running[r].log_probability - most - std::log(total);
    for (size_t v = 0; v < vocab; ++v) all.push_back({row[v] + shift, static_cast<int64_t>(r), static_cast<int32_t>(v)});
  }
  count = std::min(count, all.size());
  std::partial_sort(all.begin(), all.begin() + static_cast<ptrdiff_t>(count), all.end(), [](const Candidate& a, const Candidate& b) {
    if (a.log_probability != b.log_probability) return a.log_probability > b.log_probability;
    return a.row != b.row ? a.row < b.row : a.token < b.token;
  });
  all.resize(count);
  return all;
}

double score(double log_probability, size_t length, double penalty) {
  return log_probability / std::pow(static_cast<double>(length), penalty);
}

// What ended, the best first, no more than `beams`.
class Finished {
 public:
  explicit Finished(const BeamOptions& options) : options_(options) {}
  void add(Hypothesis h) {
    h.score = score(h.log_probability, h.tokens.size(), options_.length_penalty);
    auto place =
        std::upper_bound(best_.begin(), best_.end(), h, [](const Hypothesis& a, const Hypothesis& b) { return a.score > b.score; });
    best_.insert(place, std::move(h));
    if (best_.size() > static_cast<size_t>(options_.beams)) best_.pop_back();
  }
  /// No sequence that goes on from one with this log-probability, now `length` long, can come among the best: log p only falls, and what
  /// the score gains by length it gains by the greatest length.
  bool beats(double log_probability, size_t length, int64_t longest) const {
    size_t best_length = options_.length_penalty > 0 ? static_cast<size_t>(longest) : length;
    return best_.size() == static_cast<size_t>(options_.beams) &&
           best_.back().score >= score(log_probability, best_length, options_.length_penalty);
  }
  std::vector<Hypothesis> take() { return std::move(best_); }

 private:
  const BeamOptions& options_;
  std::vector<Hypothesis> best_;
};

void check(const CausalDecoder& model, const std::vector<int32_t>& prompt, const BeamOptions& o) {
  if (prompt.empty()) throw ValueError("beam_search: the prompt has no tokens");
  if (static_cast<int64_t>(prompt.size()) >= model.context())
    throw ValueError("beam_search: the prompt of " + std::to_string(prompt.size()) + " tokens fills the context of " +
                     std::to_string(model.context()));
  if (o.beams < 1 || o.max_tokens < 1)
    throw ValueError("beam_search: beams and max_tokens must be at least 1, they are " + std::to_string(o.beams) + " and " +
                     std::to_string(o.max_tokens));
}

Tensor column(const std::vector<Candidate>& chosen) {
  std::vector<int64_t> tokens;
  for (const Candidate& c : chosen) tokens.push_back(c.token);
  return from_vector(tokens, {static_cast<int64_t>(tokens.size()), 1});
}

}  // namespace

std::vector<Hypothesis> beam_search(const CausalDecoder& model, const std::vector<int32_t>& prompt, const BeamOptions& options) {
  check(model, prompt, options);
  NoGrad off;
  int64_t room = model.context() - static_cast<int64_t>(prompt.size()) + 1, longest = std::min(options.max_tokens, room);
  KeyValueCache cache = model.make_cache(1);
  std::vector<int64_t> start(prompt.begin(), prompt.end());
  Tensor logits = model.next(to(from_vector(start, {1, static_cast<int64_t>(start.size())}), cache.device()), cache);
  std::vector<Hypothesis> running(1);
  Finished finished(options);
  size_t beams = static_cast<size_t>(options.beams);
  for (int64_t length = 1;; ++length) {
    std::vector<Candidate> chosen;
    std::vector<Hypothesis> next;
    std::vector<int64_t> rows;
    size_t rank = 0;
    for (const Candidate& c : best_continuations(to_vector<double>(logits), running, 2 * beams)) {
      Hypothesis h = running[static_cast<size_t>(c.row)];
      h.tokens.push_back(c.token);
      h.log_probability = c.log_probability;
      bool ends = c.token == options.end_token;
      if (ends && rank < beams) finished.add(std::move(h));
      else if (!ends && next.size() < beams) {
        next.push_back(std::move(h));
        chosen.push_back(c);
        rows.push_back(c.row);
      }
      ++rank;
    }
    running = std::move(next);
    if (options.on_token) options.on_token(length, longest);
    bool done = running.empty() || finished.beats(running.front().log_probability, running.front().tokens.size(), longest);
    if (length == longest && !done)
      for (Hypothesis& h : running) finished.add(std::move(h));
    if (length == longest || done) return finished.take();
    cache.reorder(rows);
    logits = model.next(to(column(chosen), cache.device()), cache);
  }
}

}  // namespace plumb::transformer

// Drawing tokens. The arithmetic of a draw is in double and in one order, so that a seed gives one text.
#include "models/transformer/generate.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "engine/autograd/grad_mode.h"
#include "engine/core/error.h"
#include "ops/shape.h"

namespace plumb::transformer {

void SamplingOptions::check() const {
  if (!(temperature >= 0)) throw ValueError("--temperature must not be negative, it is " + decimal(temperature));
  if (top_k < 0) throw ValueError("--top-k must not be negative, it is " + std::to_string(top_k));
  if (!(top_p > 0 && top_p <= 1)) throw ValueError("--top-p must lie in (0, 1], it is " + decimal(top_p));
}

int32_t sample_token(const std::vector<double>& logits, const SamplingOptions& options, Generator& generator) {
  std::vector<int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int32_t a, int32_t b) { return logits[static_cast<size_t>(a)] > logits[static_cast<size_t>(b)]; });
  double u = generator.next_double();
  if (options.temperature == 0) return order[0];
  size_t kept = options.top_k > 0 ? std::min<size_t>(static_cast<size_t>(options.top_k), order.size()) : order.size();
  std::vector<double> p(kept);
  for (size_t i = 0; i < kept; ++i)
    p[i] = std::exp((logits[static_cast<size_t>(order[i])] - logits[static_cast<size_t>(order[0])]) / options.temperature);
  double total = std::accumulate(p.begin(), p.end(), 0.0);
  if (options.top_p < 1) {
    double reached = 0;
    size_t i = 0;
    while (i < kept && reached < options.top_p * total) reached += p[i++];
    kept = i;
    total = reached;
  }
  double target = u * total, reached = 0;
  for (size_t i = 0; i < kept; ++i) {
    reached += p[i];
    if (reached > target) return order[i];
  }
  return order[kept - 1];
}

void generate(const CausalDecoder& model, const std::vector<int32_t>& prompt, int64_t count, const SamplingOptions& options,
              Generator& generator, const std::function<void(int32_t)>& emit) {
  options.check();
  if (prompt.empty()) throw ValueError("generate: the prompt has no tokens");
  NoGrad off;
  int64_t context = model.context(), held = 0;  // tokens in the cache
  std::vector<int32_t> seen = prompt;
  KeyValueCache cache = model.make_cache();
  Device device = cache.device();
  auto feed = [&](int64_t tokens) {  // the last `tokens` of what was seen
    held += tokens;
    std::vector<int64_t> last(seen.end() - tokens, seen.end());
    return to_vector<double>(model.next(to(from_vector(last, {1, tokens}), device), cache));
  };
  std::vector<double> logits = feed(std::min<int64_t>(static_cast<int64_t>(seen.size()), context));
  for (int64_t i = 0; i < count; ++i) {
    seen.push_back(sample_token(logits, options, generator));
    emit(seen.back());
    if (i + 1 == count || seen.back() == options.end_token) return;
    if (held < context) {
      logits = feed(1);
    } else {
      cache.length = held = 0;
      logits = feed(std::max<int64_t>(1, context / 2));
    }
  }
}

}  // namespace plumb::transformer

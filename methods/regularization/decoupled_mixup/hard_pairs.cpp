// Hard mixed examples.
#include "methods/regularization/decoupled_mixup/hard_pairs.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/core/error.h"
#include "methods/common/mixing.h"
#include "ops/index.h"
#include "ops/random.h"
#include "ops/sort.h"

namespace plumb::methods::decoupled_mixup {

HardPairs hard_pairs(const Tensor& x, const Tensor& labels, int64_t count, Generator& generator, double low, double high) {
  if (!(0 <= low && low <= high && high <= 1))
    throw ValueError(fmt::format("hard_pairs: shares in [{}, {}] do not lie in [0, 1]", low, high));
  if (labels.rank() != 1 || labels.dtype() != i64 || x.rank() < 1 || labels.size(0) != x.size(0))
    throw ShapeError(fmt::format("hard_pairs: labels {} for examples {}", to_string(labels.shape()), to_string(x.shape())));
  auto classes = to_vector<int64_t>(labels);
  if (std::ranges::all_of(classes, [&](int64_t c) { return c == classes[0]; }))
    throw ValueError("hard_pairs: all examples are of one class");
  std::vector<int64_t> a, b;
  while (static_cast<int64_t>(a.size()) < count) {
    auto i = static_cast<size_t>(generator.next_below(classes.size())), j = static_cast<size_t>(generator.next_below(classes.size()));
    if (classes[i] == classes[j]) continue;
    a.push_back(static_cast<int64_t>(i)), b.push_back(static_cast<int64_t>(j));
  }
  Tensor one = from_vector(a), other = from_vector(b), share = uniform({count}, low, high, {.dtype = x.dtype(), .generator = &generator});
  return {mix_pairs(index_select(x, 0, one), index_select(x, 0, other), share), index_select(labels, 0, one),
          index_select(labels, 0, other)};
}

double both_classes_found(const Tensor& logits, const HardPairs& pairs) {
  if (logits.rank() != 2 || logits.size(1) < 2 || logits.size(0) != pairs.first.size(0))
    throw ShapeError(fmt::format("both_classes_found: logits {} for {} pairs", to_string(logits.shape()), pairs.first.size(0)));
  auto best = to_vector<int64_t>(topk(logits.detach(), 2, 1).indices);
  auto first = to_vector<int64_t>(pairs.first), second = to_vector<int64_t>(pairs.second);
  double found = 0;
  for (size_t i = 0; i < first.size(); ++i) {
    int64_t p = best[2 * i], q = best[2 * i + 1];
    found += (p == first[i] && q == second[i]) || (p == second[i] && q == first[i]);
  }
  return found / static_cast<double>(first.size());
}

}  // namespace plumb::methods::decoupled_mixup

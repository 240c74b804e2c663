// Ranked lists without training items, and what they are worth.
#include "methods/representation/item_ssl/evaluation.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <unordered_set>

#include "engine/core/error.h"
#include "models/retrieval/contrastive.h"

namespace plumb::methods::item_ssl {
namespace {

int64_t longest(const std::vector<std::vector<int64_t>>& lists) {
  size_t most = 0;
  for (const auto& list : lists) most = std::max(most, list.size());
  return static_cast<int64_t>(most);
}

void check(const Tensor& users, const Tensor& items, const std::vector<std::vector<int64_t>>& truth,
           const std::vector<std::vector<int64_t>>& exclude, const std::vector<int64_t>& ks, const std::vector<ItemSlice>& slices) {
  if (users.rank() != 2 || items.rank() != 2 || users.size(1) != items.size(1))
    throw ShapeError(fmt::format("evaluate_retrieval: takes users [n, D] and items [m, D], got {} and {}", to_string(users.shape()),
                                 to_string(items.shape())));
  if (static_cast<int64_t>(truth.size()) != users.size(0) || exclude.size() != truth.size())
    throw ShapeError(
        fmt::format("evaluate_retrieval: {} users, truth of {} and exclusions of {}", users.size(0), truth.size(), exclude.size()));
  for (const auto* lists : {&truth, &exclude})
    for (const auto& list : *lists)
      for (int64_t item : list)
        if (item < 0 || item >= items.size(0))
          throw IndexError(fmt::format("evaluate_retrieval: item {} was never seen: the catalogue has {} items", item, items.size(0)));
  int64_t left = items.size(0) - longest(exclude);
  if (ks.empty()) throw ValueError("evaluate_retrieval: there is no k");
  for (int64_t k : ks)
    if (k < 1 || k > left)
      throw ValueError(fmt::format("evaluate_retrieval: k must lie in [1, {}], what is left of the catalogue, it is {}", left, k));
  for (const auto& slice : slices)
    if (static_cast<int64_t>(slice.contains.size()) != items.size(0))
      throw ShapeError(
          fmt::format("evaluate_retrieval: slice {} says of {} items, there are {}", slice.name, slice.contains.size(), items.size(0)));
}

/// Hits and Σ precision@r over hits among the first k of `ranked`.
std::pair<double, double> hits_of(const std::vector<int64_t>& ranked, const std::unordered_set<int64_t>& truth, int64_t k) {
  double hits = 0, precisions = 0;
  for (int64_t r = 0; r < k; ++r)
    if (truth.count(ranked[static_cast<size_t>(r)])) precisions += ++hits / static_cast<double>(r + 1);
  return {hits, precisions};
}

}  // namespace

std::vector<ItemSlice> popularity_slices(const std::vector<int64_t>& counts, double share) {
  if (!(share > 0 && share < 1)) throw ValueError(fmt::format("popularity_slices: the share must lie in (0, 1), it is {}", share));
  std::vector<size_t> order(counts.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return counts[a] > counts[b]; });
  std::vector<bool> head(counts.size());
  auto size = static_cast<size_t>(std::ceil(share * static_cast<double>(counts.size())));
  for (size_t i = 0; i < std::min(size, order.size()); ++i) head[order[i]] = true;
  std::vector<bool> tail = head;
  tail.flip();
  return {{"all", std::vector<bool>(counts.size(), true)}, {"head", std::move(head)}, {"tail", std::move(tail)}};
}

std::vector<SliceScores> evaluate_retrieval(const Tensor& users, const Tensor& items, const std::vector<std::vector<int64_t>>& truth,
                                            const std::vector<std::vector<int64_t>>& exclude, const std::vector<int64_t>& ks,
                                            const std::vector<ItemSlice>& slices) {
  check(users, items, truth, exclude, ks, slices);
  const int64_t most = *std::max_element(ks.begin(), ks.end()), wanted = most + longest(exclude);
  std::vector<SliceScores> scores;
  for (const auto& slice : slices) scores.push_back({slice.name, std::vector<double>(ks.size()), std::vector<double>(ks.size()), 0});
  std::vector<int64_t> nearest;
  if (!truth.empty()) nearest = to_vector<int64_t>(retrieval::nearest_documents(users, items, wanted).indices);
  for (size_t u = 0; u < truth.size(); ++u) {
    std::unordered_set<int64_t> excluded(exclude[u].begin(), exclude[u].end());
    std::vector<int64_t> ranked;
    for (int64_t r = 0; r < wanted && static_cast<int64_t>(ranked.size()) < most; ++r) {
      int64_t item = nearest[u * static_cast<size_t>(wanted) + static_cast<size_t>(r)];
      if (!excluded.count(item)) ranked.push_back(item);
    }
    for (size_t s = 0; s < slices.size(); ++s) {
      std::unordered_set<int64_t> cut;
      for (int64_t item : truth[u])
        if (slices[s].contains[static_cast<size_t>(item)]) cut.insert(item);
      if (cut.empty()) continue;
      ++scores[s].users;
      for (size_t i = 0; i < ks.size(); ++i) {
        auto [hits, precisions] = hits_of(ranked, cut, ks[i]);
        scores[s].recall[i] += hits / static_cast<double>(cut.size());
        scores[s].average_precision[i] += precisions / static_cast<double>(std::min<int64_t>(ks[i], static_cast<int64_t>(cut.size())));
      }
    }
  }
  for (SliceScores& s : scores)
    for (size_t i = 0; i < ks.size(); ++i) {
      s.recall[i] /= static_cast<double>(s.users);  // 0 / 0, NaN, where there is none
      s.average_precision[i] /= static_cast<double>(s.users);
    }
  return scores;
}

}  // namespace plumb::methods::item_ssl

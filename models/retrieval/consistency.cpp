// Ranks and scores of pairs' own documents, and the filter on them.
#include "models/retrieval/consistency.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "engine/data/dataset.h"

namespace plumb::retrieval {
namespace {

int64_t larger_than_own(const std::vector<double>& s, size_t n, size_t i, bool column) {
  int64_t rank = 0;
  for (size_t j = 0; j < n; ++j) rank += s[column ? j * n + i : i * n + j] > s[i * n + i] ? 1 : 0;
  return rank;
}

}  // namespace

PositiveScores positive_scores(const Tensor& similarity, bool both_directions) {
  if (similarity.rank() != 2 || similarity.size(0) != similarity.size(1))
    throw ShapeError("positive_scores: takes similarities [n, n], got " + to_string(similarity.shape()));
  std::vector<double> s = to_vector(similarity);
  auto n = static_cast<size_t>(similarity.size(0));
  for (size_t at = 0; at < s.size(); ++at)
    if (std::isnan(s[at])) throw ValueError(fmt::format("positive_scores: similarity ({}, {}) is NaN", at / n, at % n));
  PositiveScores out;
  for (size_t i = 0; i < n; ++i) {
    int64_t rank = larger_than_own(s, n, i, false);
    out.rank.push_back(both_directions ? std::max(rank, larger_than_own(s, n, i, true)) : rank);
    out.score.push_back(s[i * n + i]);
  }
  return out;
}

PositiveScores sharded_positive_scores(int64_t pairs, int64_t shard,
                                       const std::function<Tensor(const std::vector<int64_t>& places)>& similarity, Generator& generator,
                                       bool both_directions) {
  if (pairs < 1 || shard < 2)
    throw ValueError(fmt::format("sharded_positive_scores: {} pairs in shards of {}; at least 1 and 2", pairs, shard));
  std::vector<int64_t> order = data::random_order(pairs, generator);
  int64_t shards = std::max<int64_t>(1, pairs / shard);
  PositiveScores out{std::vector<int64_t>(order.size()), std::vector<double>(order.size())};
  for (int64_t k = 0; k < shards; ++k) {
    std::vector<int64_t> places(order.begin() + pairs * k / shards, order.begin() + pairs * (k + 1) / shards);
    PositiveScores part = positive_scores(similarity(places), both_directions);
    if (part.rank.size() != places.size())
      throw ShapeError(fmt::format("sharded_positive_scores: similarities of {} pairs for {} places", part.rank.size(), places.size()));
    for (size_t i = 0; i < places.size(); ++i) {
      out.rank[static_cast<size_t>(places[i])] = part.rank[i];
      out.score[static_cast<size_t>(places[i])] = part.score[i];
    }
  }
  return out;
}

Tensor consistency_filter(const PositiveScores& scores, const ConsistencyOptions& options) {
  if (options.max_rank < 1) throw ValueError(fmt::format("consistency_filter: max_rank must be at least 1, it is {}", options.max_rank));
  auto n = static_cast<int64_t>(scores.rank.size());
  Tensor keep = empty({n}, boolean);
  bool any = false;
  for (int64_t i = 0; i < n; ++i) {
    bool kept = scores.rank[static_cast<size_t>(i)] < options.max_rank && scores.score[static_cast<size_t>(i)] > options.min_score;
    keep.data<bool>()[i] = kept;
    any = any || kept;
  }
  if (!any)
    throw ValueError(fmt::format("consistency_filter: none of {} pairs has a rank below {} and a score above {}; loosen one of them", n,
                                 options.max_rank, options.min_score));
  return keep;
}

Tensor consistency_filter(const Tensor& similarity, const ConsistencyOptions& options) {
  return consistency_filter(positive_scores(similarity), options);
}

double passing_score_quantile(const PositiveScores& scores, int64_t max_rank, double q) {
  if (!(q >= 0 && q <= 1)) throw ValueError(fmt::format("passing_score_quantile: q must be in [0, 1], it is {}", q));
  std::vector<double> passing;
  for (size_t i = 0; i < scores.rank.size(); ++i)
    if (scores.rank[i] < max_rank) passing.push_back(scores.score[i]);
  if (passing.empty()) throw ValueError(fmt::format("passing_score_quantile: no pair has a rank below {}", max_rank));
  std::ranges::sort(passing);
  double at = q * static_cast<double>(passing.size() - 1), below = std::floor(at);
  auto i = static_cast<size_t>(below);
  return i + 1 < passing.size() ? passing[i] + (at - below) * (passing[i + 1] - passing[i]) : passing[i];
}

}  // namespace plumb::retrieval

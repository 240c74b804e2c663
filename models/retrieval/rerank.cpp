// The sliding window, losses over lists, and the scorer of pairs.
#include "models/retrieval/rerank.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "models/require.h"
#include "ops/activation.h"
#include "ops/create.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/normalize.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/softmax.h"

namespace plumb::retrieval {
namespace {

bool is_permutation_of_places(std::vector<int64_t> places, size_t n) {
  std::ranges::sort(places);
  for (size_t i = 0; i < places.size(); ++i)
    if (places[i] != static_cast<int64_t>(i)) return false;
  return places.size() == n;
}

void check_lists(const char* op, const Tensor& scores, const Tensor& other, const char* name) {
  if (scores.rank() != 2 || scores.shape() != other.shape())
    throw ShapeError(
        fmt::format("{}: takes scores and {} [L, n], got {} and {}", op, name, to_string(scores.shape()), to_string(other.shape())));
}

}  // namespace

std::vector<int64_t> order_by(const std::vector<double>& scores) {
  std::vector<int64_t> order(scores.size());
  std::iota(order.begin(), order.end(), int64_t{0});
  std::ranges::stable_sort(order, [&](int64_t a, int64_t b) { return scores[static_cast<size_t>(a)] > scores[static_cast<size_t>(b)]; });
  return order;
}

std::vector<int64_t> sliding_window_rerank(std::vector<int64_t> ranking, int64_t window, int64_t step, const Permute& permute) {
  if (step < 1 || window < step)
    throw ValueError(fmt::format("sliding_window_rerank: takes 1 ≤ step ≤ window, got a window of {} and a step of {}", window, step));
  for (auto end = static_cast<int64_t>(ranking.size()); end > 0; end -= step) {
    int64_t begin = std::max<int64_t>(0, end - window);
    std::vector<int64_t> part(ranking.begin() + begin, ranking.begin() + end), order = permute(part);
    if (!is_permutation_of_places(order, part.size()))
      throw ValueError(fmt::format("sliding_window_rerank: the order of places {} … {} is no permutation", begin, end - 1));
    for (size_t i = 0; i < part.size(); ++i) ranking[static_cast<size_t>(begin) + i] = part[static_cast<size_t>(order[i])];
    if (begin == 0) break;
  }
  return ranking;
}

Tensor list_net_loss(const Tensor& scores, const Tensor& teacher) {
  check_lists("list_net_loss", scores, teacher, "teacher");
  return neg(mean(sum(softmax(teacher.detach(), 1) * log_softmax(scores, 1), {1})));
}

Tensor rank_net_loss(const Tensor& scores, const Tensor& order) {
  check_lists("rank_net_loss", scores, order, "order");
  int64_t n = scores.size(1);
  std::vector<int64_t> places = to_vector<int64_t>(order);
  for (int64_t l = 0; l < scores.size(0); ++l)
    if (!is_permutation_of_places({places.begin() + l * n, places.begin() + (l + 1) * n}, static_cast<size_t>(n)))
      throw ValueError(fmt::format("rank_net_loss: the order of list {} is no permutation of 0 … {}", l, n - 1));
  Tensor s = gather(scores, 1, order);
  Tensor wrong_by = unsqueeze(s, 1) - unsqueeze(s, 2);  // [L, a, b]: s_b − s_a
  Tensor pairs = to(triu_mask(n, n, 1), s.dtype());     // a before b
  return sum(softplus(wrong_by) * pairs) / static_cast<double>(scores.size(0));
}

void PairScorerConfig::check() const {
  require_positive("pair_scorer", {{"width", width}, {"hidden", hidden}});
  require(features >= 0, "pair_scorer: features must not be negative, it is " + std::to_string(features));
}

PairScorer::PairScorer(const PairScorerConfig& c)
    : config_((c.check(), c)), mlp_(mlp::MlpConfig{.inputs = 2 * c.width + 1 + c.features, .hidden = {c.hidden}, .outputs = 1}) {
  register_module("mlp", mlp_);
}

Tensor PairScorer::operator()(const Tensor& query, const Tensor& document, const Tensor& features) const {
  int last = query.rank() - 1;
  bool fits = query.rank() >= 1 && query.shape() == document.shape() && query.size(last) == config_.width &&
              features.rank() == query.rank() && features.size(last) == config_.features &&
              features.numel() * config_.width == query.numel() * config_.features;
  if (!fits)
    throw ShapeError(fmt::format("pair_scorer: takes query and document [.., {}] and features [.., {}], got {}, {} and {}", config_.width,
                                 config_.features, to_string(query.shape()), to_string(document.shape()), to_string(features.shape())));
  Tensor u = reshape(normalize(query), {-1, config_.width}), v = reshape(normalize(document), {-1, config_.width});
  // A unit vector's entries are of size 1 / √width; the MLP wants inputs of size 1.
  auto width = static_cast<double>(config_.width);
  Tensor product = u * v;
  Tensor joint =
      cat({product * width, abs(u - v) * std::sqrt(width), sum(product, {1}, true), reshape(features, {-1, config_.features})}, 1);
  Shape shape;
  for (int d = 0; d < last; ++d) shape.push_back(query.size(d));
  return reshape(mlp_(joint), shape);
}

}  // namespace plumb::retrieval

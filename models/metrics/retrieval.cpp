// Measures of rankings, each a function of the relevance at the places of one query.
#include "models/metrics/retrieval.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <string>

namespace plumb::metrics {
namespace {

// What one query's ranking holds, place by place.
struct Ranked {
  std::vector<double> gains;
  size_t relevant = 0;
};

std::vector<int64_t> order_of(const double* scores, int64_t documents, int64_t query) {
  std::vector<int64_t> order;
  for (int64_t d = 0; d < documents; ++d) {
    if (std::isnan(scores[d])) throw ValueError("rankings: score (" + std::to_string(query) + ", " + std::to_string(d) + ") is NaN");
    if (scores[d] != -INFINITY) order.push_back(d);
  }
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return scores[a] > scores[b]; });
  return order;
}

// The mean of measure(ranked, k) over queries; k is cut to the length of the ranking for sums over places.
template <typename Measure>
double mean_over_queries(const char* op, const Tensor& scores, const Tensor& relevance, int64_t k, Measure&& measure) {
  if (scores.rank() != 2 || scores.shape() != relevance.shape())
    throw ShapeError(std::string(op) + ": takes scores and relevance [Q, D], got " + to_string(scores.shape()) + " and " +
                     to_string(relevance.shape()));
  if (k < 1) throw ValueError(std::string(op) + ": k must be at least 1, it is " + std::to_string(k));
  std::vector<double> r = to_vector(relevance);
  std::vector<std::vector<int64_t>> orders = rankings(scores);
  double total = 0, count = 0;
  for (size_t q = 0; q < orders.size(); ++q) {
    Ranked ranked;
    for (int64_t d : orders[q]) ranked.gains.push_back(r[q * static_cast<size_t>(scores.size(1)) + static_cast<size_t>(d)]);
    ranked.relevant = static_cast<size_t>(std::ranges::count_if(ranked.gains, [](double g) { return g > 0; }));
    if (ranked.relevant == 0) continue;
    total += measure(ranked, static_cast<size_t>(k));
    ++count;
  }
  return count == 0 ? std::numeric_limits<double>::quiet_NaN() : total / count;
}

double found_among(const Ranked& r, size_t k) {
  double found = 0;
  for (size_t i = 0; i < std::min(k, r.gains.size()); ++i) found += r.gains[i] > 0 ? 1 : 0;
  return found;
}

double dcg(const std::vector<double>& gains, size_t k) {
  double total = 0;
  for (size_t i = 0; i < std::min(k, gains.size()); ++i) total += std::max(gains[i], 0.0) / std::log2(static_cast<double>(i + 2));
  return total;
}

}  // namespace

std::vector<std::vector<int64_t>> rankings(const Tensor& scores) {
  if (scores.rank() != 2) throw ShapeError("rankings: takes scores [Q, D], got " + to_string(scores.shape()));
  std::vector<double> s = to_vector(scores);
  std::vector<std::vector<int64_t>> orders;
  for (int64_t q = 0; q < scores.size(0); ++q) orders.push_back(order_of(s.data() + q * scores.size(1), scores.size(1), q));
  return orders;
}

double mean_reciprocal_rank(const Tensor& scores, const Tensor& relevance, int64_t k) {
  return mean_over_queries("mean_reciprocal_rank", scores, relevance, k, [](const Ranked& r, size_t most) {
    for (size_t i = 0; i < std::min(most, r.gains.size()); ++i)
      if (r.gains[i] > 0) return 1 / static_cast<double>(i + 1);
    return 0.0;
  });
}

double recall_at_k(const Tensor& scores, const Tensor& relevance, int64_t k) {
  return mean_over_queries("recall_at_k", scores, relevance, k,
                           [](const Ranked& r, size_t most) { return found_among(r, most) / static_cast<double>(r.relevant); });
}

double hit_rate_at_k(const Tensor& scores, const Tensor& relevance, int64_t k) {
  return mean_over_queries("hit_rate_at_k", scores, relevance, k,
                           [](const Ranked& r, size_t most) { return found_among(r, most) > 0 ? 1.0 : 0.0; });
}

double precision_at_k(const Tensor& scores, const Tensor& relevance, int64_t k) {
  return mean_over_queries("precision_at_k", scores, relevance, k,
                           [](const Ranked& r, size_t most) { return found_among(r, most) / static_cast<double>(most); });
}

double ndcg_at_k(const Tensor& scores, const Tensor& relevance, int64_t k) {
  return mean_over_queries("ndcg_at_k", scores, relevance, k, [](const Ranked& r, size_t most) {
    std::vector<double> best = r.gains;
    std::ranges::sort(best, std::greater<>());
    return dcg(r.gains, most) / dcg(best, most);
  });
}

double mean_average_precision(const Tensor& scores, const Tensor& relevance, int64_t k) {
  return mean_over_queries("mean_average_precision", scores, relevance, k, [](const Ranked& r, size_t most) {
    double found = 0, total = 0;
    for (size_t i = 0; i < std::min(most, r.gains.size()); ++i)
      if (r.gains[i] > 0) total += ++found / static_cast<double>(i + 1);
    return total / static_cast<double>(std::min(most, r.relevant));
  });
}

}  // namespace plumb::metrics

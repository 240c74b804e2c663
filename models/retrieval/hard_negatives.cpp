// Mining and drawing negatives, and laying out batches with them.
#include "models/retrieval/hard_negatives.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace plumb::retrieval {
namespace {

void check_temperature(const char* op, double temperature) {
  if (!(temperature >= 0)) throw ValueError(fmt::format("{}: the temperature must not be negative, it is {}", op, temperature));
}

// The first `count` of `places` by falling value, of equal ones the earlier: value[places[0]] ≥ value[places[1]] …
void keep_largest(std::vector<int64_t>& places, size_t count, const double* value) {
  count = std::min(count, places.size());
  std::partial_sort(places.begin(), places.begin() + static_cast<int64_t>(count), places.end(),
                    [&](int64_t a, int64_t b) { return value[a] > value[b] || (value[a] == value[b] && a < b); });
  places.resize(count);
}

// One query's candidates, given its row of similarities.
std::vector<int64_t> candidates_of(const double* row, int64_t columns, int64_t own, const CandidateOptions& o) {
  std::vector<int64_t> found;
  for (int64_t j = 0; j < columns; ++j) {
    if (std::isnan(row[j])) throw ValueError(fmt::format("negative_candidates: similarity ({}, {}) is NaN", own, j));
    bool same = j == own || (!o.document.empty() && o.document[static_cast<size_t>(j)] == o.document[static_cast<size_t>(own)]);
    if (!same && (!o.drop_false || row[j] < o.gamma * row[own])) found.push_back(j);
  }
  keep_largest(found, o.most > 0 ? static_cast<size_t>(o.most) : found.size(), row);
  return found;
}

}  // namespace

std::vector<std::vector<int64_t>> negative_candidates(const Tensor& similarity, const CandidateOptions& o) {
  if (similarity.rank() != 2 || similarity.size(0) > similarity.size(1))
    throw ShapeError("negative_candidates: takes similarities [n, m] with n ≤ m, got " + to_string(similarity.shape()));
  if (!(o.gamma > 0 && o.gamma <= 1)) throw ValueError(fmt::format("negative_candidates: gamma must be in (0, 1], it is {}", o.gamma));
  if (o.most < 0) throw ValueError(fmt::format("negative_candidates: most must not be negative, it is {}", o.most));
  int64_t n = similarity.size(0), m = similarity.size(1);
  if (!o.document.empty() && static_cast<int64_t>(o.document.size()) != m)
    throw ShapeError(fmt::format("negative_candidates: contents of {} documents for {} columns", o.document.size(), m));
  std::vector<double> s = to_vector(similarity);
  std::vector<std::vector<int64_t>> out;
  for (int64_t i = 0; i < n; ++i) out.push_back(candidates_of(s.data() + i * m, m, i, o));
  return out;
}

double TemperatureSchedule::operator()(double s) const {
  s = std::clamp(s, 0.0, 1.0);
  return geometric ? start * std::pow(end / start, s) : start + s * (end - start);
}

std::vector<double> negative_probabilities(const std::vector<double>& scores, double temperature) {
  check_temperature("negative_probabilities", temperature);
  if (scores.empty()) throw ValueError("negative_probabilities: there are no candidates");
  double largest = std::ranges::max(scores), total = 0;
  std::vector<double> p;
  for (double s : scores) {
    // The maximum comes off first: e^(0.8 / 0.001) is no number.
    p.push_back(temperature == 0 ? (s == largest ? 1.0 : 0.0) : std::exp((s - largest) / temperature));
    total += p.back();
  }
  for (double& v : p) v /= total;
  return p;
}

std::vector<int64_t> sample_without_replacement(const std::vector<double>& scores, int64_t count, double temperature,
                                                Generator& generator) {
  check_temperature("sample_without_replacement", temperature);
  if (count < 0) throw ValueError(fmt::format("sample_without_replacement: count must not be negative, it is {}", count));
  std::vector<double> keys = scores;
  if (temperature > 0)
    for (double& key : keys) key = key / temperature - std::log(-std::log1p(-generator.next_double()));  // 1 − u is in (0, 1]
  std::vector<int64_t> order(keys.size());
  std::iota(order.begin(), order.end(), int64_t{0});
  keep_largest(order, static_cast<size_t>(count), keys.data());
  return order;
}

HardNegativeSampler::HardNegativeSampler(const Tensor& similarity, std::vector<std::vector<int64_t>> candidates, int64_t negatives,
                                         TemperatureSchedule schedule)
    : candidates_(std::move(candidates)), negatives_(negatives), schedule_(schedule) {
  if (negatives < 0) throw ValueError(fmt::format("hard_negatives: the number of negatives must not be negative, it is {}", negatives));
  if (!(schedule.end >= 0 && schedule.start >= schedule.end) || (schedule.geometric && schedule.end == 0))
    throw ValueError(fmt::format("hard_negatives: temperatures must fall and not be negative{}, they go from {} to {}",
                                 schedule.geometric ? ", nor 0 where they fall geometrically" : "", schedule.start, schedule.end));
  if (similarity.rank() != 2 || similarity.size(0) != static_cast<int64_t>(candidates_.size()))
    throw ShapeError(
        fmt::format("hard_negatives: candidates of {} rows for similarities {}", candidates_.size(), to_string(similarity.shape())));
  std::vector<double> s = to_vector(similarity);
  int64_t m = similarity.size(1);
  for (size_t i = 0; i < candidates_.size(); ++i) {
    scores_.emplace_back();
    for (int64_t j : candidates_[i]) {
      if (j < 0 || j >= m) throw IndexError(fmt::format("hard_negatives: candidate {} of row {} is outside [0, {})", j, i, m));
      scores_.back().push_back(s[i * static_cast<size_t>(m) + static_cast<size_t>(j)]);
    }
  }
}

std::vector<int64_t> HardNegativeSampler::operator()(int64_t row, double progress, Generator& generator) const {
  if (row < 0 || row >= static_cast<int64_t>(candidates_.size()))
    throw IndexError(fmt::format("hard_negatives: row {} is outside [0, {})", row, candidates_.size()));
  auto i = static_cast<size_t>(row);
  std::vector<int64_t> out;
  for (int64_t k : sample_without_replacement(scores_[i], negatives_, schedule_(progress), generator))
    out.push_back(candidates_[i][static_cast<size_t>(k)]);
  out.resize(static_cast<size_t>(negatives_), kNoDocument);
  return out;
}

RankingBatch ranking_batch(const std::vector<int64_t>& positives, const std::vector<std::vector<int64_t>>& negatives,
                           const std::vector<int64_t>& content) {
  if (negatives.size() != positives.size())
    throw ShapeError(fmt::format("ranking_batch: negatives of {} queries for {} positives", negatives.size(), positives.size()));
  size_t h = negatives.empty() ? 0 : negatives[0].size(), b = positives.size(), width = b * (h + 1);
  RankingBatch out;
  std::vector<bool> missing;
  std::vector<int64_t> label;
  for (size_t i = 0; i < b; ++i) {
    if (negatives[i].size() != h)
      throw ShapeError(fmt::format("ranking_batch: query {} has {} negatives, the first has {}", i, negatives[i].size(), h));
    label.push_back(static_cast<int64_t>(out.document.size()));
    out.document.push_back(positives[i]);
    missing.push_back(false);
    for (int64_t j : negatives[i]) {
      missing.push_back(j == kNoDocument);
      out.document.push_back(j == kNoDocument ? positives[i] : j);
    }
  }
  auto content_of = [&](int64_t document) {
    if (content.empty()) return document;
    if (document < 0 || document >= static_cast<int64_t>(content.size()))
      throw IndexError(fmt::format("ranking_batch: document {} is outside [0, {})", document, content.size()));
    return content[static_cast<size_t>(document)];
  };
  out.label = from_vector(label);
  out.allowed = empty({static_cast<int64_t>(b), static_cast<int64_t>(width)}, boolean);
  for (size_t i = 0; i < b; ++i)
    for (size_t c = 0; c < width; ++c) {
      bool own = static_cast<int64_t>(c) == label[i];
      bool identical = !content.empty() && content_of(out.document[c]) == content_of(positives[i]);
      out.allowed.data<bool>()[i * width + c] = own || (!missing[c] && !identical);
    }
  return out;
}

}  // namespace plumb::retrieval

// The losses, the masks, and what correlated masking needs to know of a catalogue.
#include "methods/representation/item_ssl/item_ssl.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <unordered_set>

#include "engine/data/dataset.h"
#include "models/metrics/mutual_information.h"
#include "ops/create.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/loss.h"
#include "ops/matmul.h"
#include "ops/normalize.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::item_ssl {
namespace {

void check_pairs(const char* op, const Tensor& a, const Tensor& b, double tau) {
  if (a.rank() != 2 || a.shape() != b.shape())
    throw ShapeError(fmt::format("{}: takes pairs [n, D], got {} and {}", op, to_string(a.shape()), to_string(b.shape())));
  if (a.size(0) == 0) throw ValueError(fmt::format("{}: there are no rows", op));
  if (!(tau > 0 && std::isfinite(tau))) throw ValueError(fmt::format("{}: the temperature must be positive, it is {}", op, tau));
}

void check_log_q(const Tensor& log_q, int64_t rows) {
  if (log_q.rank() != 1 || log_q.size(0) != rows)
    throw ShapeError(fmt::format("batch_softmax_loss: log_q must be [{}], it is {}", rows, to_string(log_q.shape())));
  std::vector<double> values = to_vector(log_q);
  for (size_t j = 0; j < values.size(); ++j)
    if (!std::isfinite(values[j]))
      throw ValueError(fmt::format("batch_softmax_loss: log_q of column {} is {}; was its item never seen?", j, values[j]));
}

/// Where the item of row i stands in another column.
Tensor accidental_hits(const Tensor& item) {
  Tensor same = unsqueeze(item, 1) == unsqueeze(item, 0);
  return logical_and(same, logical_not(eye(item.size(0), -1, boolean)));
}

void hide_rest(MaskPair& masks) {
  masks.second = masks.first;
  masks.second.flip();
}

std::vector<bool> random_half(int64_t k, Generator& g) {
  std::vector<bool> hidden(static_cast<size_t>(k));
  std::vector<int64_t> order = data::random_order(k, g);
  for (int64_t i = 0; i < k / 2; ++i) hidden[static_cast<size_t>(order[static_cast<size_t>(i)])] = true;
  return hidden;
}

/// Values of an item; of one without any the number after the last.
std::vector<int64_t> values_of(const data::ItemFeature& f, size_t item) {
  if (f.offsets.empty()) return {f.values[item]};
  std::vector<int64_t> values(f.values.begin() + f.offsets[item], f.values.begin() + f.offsets[item + 1]);
  if (values.empty()) values.push_back(f.cardinality);
  return values;
}

}  // namespace

Tensor batch_softmax_loss(const Tensor& queries, const Tensor& items, double tau, const BatchSoftmaxOptions& o) {
  check_pairs("batch_softmax_loss", queries, items, tau);
  const int64_t rows = queries.size(0);
  Tensor logits = matmul(normalize(queries), mT(normalize(items))) / tau;
  if (o.log_q.defined()) {
    check_log_q(o.log_q, rows);
    logits = logits - unsqueeze(to(o.log_q, logits.dtype()), 0);
  }
  if (o.item.defined()) {
    if (o.item.rank() != 1 || o.item.size(0) != rows)
      throw ShapeError(fmt::format("batch_softmax_loss: item must be [{}], it is {}", rows, to_string(o.item.shape())));
    logits = masked_fill(logits, accidental_hits(o.item), -INFINITY);
  }
  return cross_entropy(logits, arange(rows, i64));
}

Tensor item_ssl_loss(const Tensor& z1, const Tensor& z2, double tau) {
  check_pairs("item_ssl_loss", z1, z2, tau);
  return info_nce(z1, z2, {.temperature = tau});
}

Tensor spread_out_loss(const Tensor& x) {
  if (x.rank() != 2) throw ShapeError(fmt::format("spread_out_loss: takes items [n, D], got {}", to_string(x.shape())));
  const int64_t n = x.size(0);
  if (n < 2) throw ValueError(fmt::format("spread_out_loss: takes at least 2 items, got {}", n));
  Tensor unit = normalize(x), cosines = matmul(unit, mT(unit));
  Tensor others = masked_fill(cosines, eye(n, -1, boolean), 0);
  return sum(square(others)) / static_cast<double>(n * (n - 1));
}

Tensor log_probabilities(const std::vector<int64_t>& counts, const std::vector<int64_t>& items) {
  auto total = static_cast<double>(std::accumulate(counts.begin(), counts.end(), int64_t{0}));
  std::vector<float> log_q;
  for (int64_t item : items) {
    if (item < 0 || item >= static_cast<int64_t>(counts.size()))
      throw IndexError(fmt::format("log_probabilities: item {} is outside the catalogue of {} items", item, counts.size()));
    int64_t count = counts[static_cast<size_t>(item)];
    if (count < 1) throw ValueError(fmt::format("log_probabilities: item {} was never seen in training", item));
    log_q.push_back(static_cast<float>(std::log(static_cast<double>(count) / total)));
  }
  return from_vector(log_q);
}

CorrelatedMask::CorrelatedMask(std::vector<std::vector<double>> mi, std::vector<int64_t> unranked)
    : mi_(std::move(mi)), unranked_(mi_.size(), false) {
  if (mi_.size() < 2) throw ValueError(fmt::format("correlated_mask: takes at least 2 features, got {}", mi_.size()));
  for (const auto& row : mi_) {
    if (row.size() != mi_.size())
      throw ShapeError(fmt::format("correlated_mask: a row of {} numbers in a table of {} features", row.size(), mi_.size()));
    for (double v : row)
      if (std::isnan(v)) throw ValueError("correlated_mask: a mutual information is NaN");
  }
  for (int64_t f : unranked) {
    if (f < 0 || f >= features()) throw IndexError(fmt::format("correlated_mask: feature {} is outside [0, {})", f, features()));
    unranked_[static_cast<size_t>(f)] = true;
  }
}

// The other features, those that tell most first; then each unranked one goes to a random place among them.
std::vector<int64_t> CorrelatedMask::ranking(int64_t seed, Generator& generator) const {
  const auto& row = mi_[static_cast<size_t>(seed)];
  std::vector<int64_t> order;
  for (int64_t f = 0; f < features(); ++f)
    if (f != seed && !unranked_[static_cast<size_t>(f)]) order.push_back(f);
  if (unranked_[static_cast<size_t>(seed)]) {
    std::vector<int64_t> shuffled = data::random_order(static_cast<int64_t>(order.size()), generator);
    for (int64_t& at : shuffled) at = order[static_cast<size_t>(at)];
    order = std::move(shuffled);
  } else {
    std::stable_sort(order.begin(), order.end(),
                     [&](int64_t a, int64_t b) { return row[static_cast<size_t>(a)] > row[static_cast<size_t>(b)]; });
  }
  for (int64_t f = 0; f < features(); ++f)
    if (f != seed && unranked_[static_cast<size_t>(f)])
      order.insert(order.begin() + static_cast<int64_t>(generator.next_below(order.size() + 1)), f);
  return order;
}

MaskPair CorrelatedMask::around(int64_t seed, Generator& generator) const {
  const int64_t k = features();
  if (seed < 0 || seed >= k) throw IndexError(fmt::format("correlated_mask: feature {} is outside [0, {})", seed, k));
  MaskPair masks{std::vector<bool>(static_cast<size_t>(k)), {}};
  masks.first[static_cast<size_t>(seed)] = true;
  std::vector<int64_t> order = ranking(seed, generator);
  for (int64_t i = 0; i < std::min(k / 2, k - 2); ++i) masks.first[static_cast<size_t>(order[static_cast<size_t>(i)])] = true;
  hide_rest(masks);
  return masks;
}

MaskPair CorrelatedMask::draw(Generator& generator) const {
  return around(static_cast<int64_t>(generator.next_below(static_cast<uint64_t>(features()))), generator);
}

MaskPair draw_masks(FeatureMaskPattern pattern, int64_t k, const CorrelatedMask* correlated, Generator& generator) {
  if (pattern == FeatureMaskPattern::none) return {std::vector<bool>(static_cast<size_t>(k)), std::vector<bool>(static_cast<size_t>(k))};
  if (k < 2) throw ValueError(fmt::format("draw_masks: two views take at least 2 features, there is {}", k));
  if (pattern == FeatureMaskPattern::cfm) {
    if (!correlated || correlated->features() != k)
      throw ValueError(fmt::format("draw_masks: cfm takes the mutual information of {} features", k));
    return correlated->draw(generator);
  }
  MaskPair masks{random_half(k, generator), {}};
  if (pattern == FeatureMaskPattern::rfm) masks.second = random_half(k, generator);
  else hide_rest(masks);
  return masks;
}

std::vector<std::vector<double>> mutual_information_table(const std::vector<data::ItemFeature>& features, int64_t items,
                                                          const std::vector<double>& weights) {
  if (!weights.empty() && static_cast<int64_t>(weights.size()) != items)
    throw ShapeError(fmt::format("mutual_information_table: {} weights for {} items", weights.size(), items));
  std::vector<std::vector<double>> table(features.size(), std::vector<double>(features.size()));
  for (size_t a = 0; a < features.size(); ++a)
    for (size_t b = 0; b < a; ++b) {
      std::vector<int64_t> first, second;
      std::vector<double> weight;
      for (size_t i = 0; i < static_cast<size_t>(items); ++i) {
        std::vector<int64_t> of_a = values_of(features[a], i), of_b = values_of(features[b], i);
        for (int64_t va : of_a)
          for (int64_t vb : of_b) {
            first.push_back(va);
            second.push_back(vb);
            weight.push_back((weights.empty() ? 1 : weights[i]) / static_cast<double>(of_a.size() * of_b.size()));
          }
      }
      table[a][b] = table[b][a] = metrics::mutual_information(first, second, weight);
    }
  return table;
}

// Floyd's algorithm (Bentley & Floyd, CACM 1987), whose set is put in a random order.
std::vector<int64_t> sample_items(int64_t n, int64_t count, Generator& generator) {
  if (count < 0 || count > n) throw ValueError(fmt::format("sample_items: {} different ones of {}", count, n));
  std::unordered_set<int64_t> known;
  std::vector<int64_t> drawn;
  for (int64_t last = n - count; last < n; ++last) {
    auto item = static_cast<int64_t>(generator.next_below(static_cast<uint64_t>(last + 1)));
    drawn.push_back(known.insert(item).second ? item : last);
    known.insert(drawn.back());
  }
  std::vector<int64_t> order = data::random_order(count, generator);
  for (int64_t& at : order) at = drawn[static_cast<size_t>(at)];
  return order;
}

}  // namespace plumb::methods::item_ssl

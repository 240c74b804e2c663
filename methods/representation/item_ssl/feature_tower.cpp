// Columns of a batch, and the tower over them.
#include "methods/representation/item_ssl/feature_tower.h"

#include <fmt/format.h>

#include <numeric>

#include "engine/autograd/grad_mode.h"
#include "engine/core/error.h"
#include "ops/elementary.h"
#include "ops/embedding.h"
#include "ops/join.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/shape.h"

namespace plumb::methods::item_ssl {
namespace {

constexpr size_t kNoTable = SIZE_MAX;

int64_t batch_of(const FeatureColumn& c) { return c.offsets.defined() ? c.offsets.numel() : c.values.numel(); }

mlp::MlpConfig mlp_of(const FeatureTowerConfig& c) {
  return {.inputs = static_cast<int64_t>(c.cardinalities.size()) * c.width, .hidden = c.hidden, .outputs = c.outputs};
}

const FeatureTowerConfig& checked(const FeatureTowerConfig& c) {
  if (c.cardinalities.empty() || c.width < 1)
    throw ValueError(fmt::format("feature_tower: {} features of width {}", c.cardinalities.size(), c.width));
  for (int64_t n : c.cardinalities)
    if (n < 0) throw ValueError(fmt::format("feature_tower: a feature of {} values", n));
  return c;
}

}  // namespace

ItemColumns::ItemColumns(const data::RecommendationSet& set) : items_(set.items) {
  data::ItemFeature id{"id", set.items, std::vector<int64_t>(static_cast<size_t>(set.items)), {}};
  std::iota(id.values.begin(), id.values.end(), 0);
  features_.push_back(std::move(id));
  features_.insert(features_.end(), set.features.begin(), set.features.end());
}

std::vector<int64_t> ItemColumns::cardinalities() const {
  std::vector<int64_t> sizes;
  for (const auto& f : features_) sizes.push_back(f.cardinality);
  return sizes;
}

std::vector<FeatureColumn> ItemColumns::operator()(const std::vector<int64_t>& items) const {
  for (int64_t item : items)
    if (item < 0 || item >= items_)
      throw IndexError(fmt::format("item_ssl: item {} was never seen: the catalogue has {} items", item, items_));
  std::vector<FeatureColumn> columns;
  for (const auto& f : features_) {
    std::vector<int64_t> values, offsets;
    for (int64_t item : items) {
      auto i = static_cast<size_t>(item);
      if (f.offsets.empty()) {
        values.push_back(f.values[i]);
        continue;
      }
      offsets.push_back(static_cast<int64_t>(values.size()));
      values.insert(values.end(), f.values.begin() + f.offsets[i], f.values.begin() + f.offsets[i + 1]);
    }
    columns.push_back({from_vector(values), f.offsets.empty() ? Tensor() : from_vector(offsets), {}});
  }
  return columns;
}

std::vector<FeatureColumn> drop_values(const std::vector<FeatureColumn>& columns, double rate, Generator& generator) {
  if (!(rate >= 0 && rate < 1)) throw ValueError(fmt::format("drop_values: the rate must lie in [0, 1), it is {}", rate));
  std::vector<FeatureColumn> left = columns;
  if (rate == 0) return left;
  for (FeatureColumn& c : left) {
    if (!c.offsets.defined()) continue;
    std::vector<int64_t> values = to_vector<int64_t>(c.values), offsets = to_vector<int64_t>(c.offsets), kept, starts;
    for (size_t b = 0; b < offsets.size(); ++b) {
      starts.push_back(static_cast<int64_t>(kept.size()));
      auto end = b + 1 < offsets.size() ? static_cast<size_t>(offsets[b + 1]) : values.size();
      for (auto i = static_cast<size_t>(offsets[b]); i < end; ++i)
        if (generator.next_double() >= rate) kept.push_back(values[i]);
    }
    c.values = from_vector(kept);
    c.offsets = from_vector(starts);
  }
  return left;
}

std::vector<FeatureColumn> narrow_columns(const std::vector<FeatureColumn>& columns, int64_t begin, int64_t end) {
  std::vector<FeatureColumn> part;
  for (const FeatureColumn& c : columns) {
    if (!c.offsets.defined()) {
      part.push_back({narrow(c.values, 0, begin, end - begin), {}, c.rows});
      continue;
    }
    std::vector<int64_t> offsets = to_vector<int64_t>(c.offsets);
    offsets.push_back(c.values.numel());
    int64_t first = offsets[static_cast<size_t>(begin)], last = offsets[static_cast<size_t>(end)];
    std::vector<int64_t> starts(offsets.begin() + begin, offsets.begin() + end);
    for (int64_t& s : starts) s -= first;
    part.push_back({narrow(c.values, 0, first, last - first), from_vector(starts), c.rows});
  }
  return part;
}

FeatureTower::FeatureTower(const FeatureTowerConfig& c)
    : config_(checked(c)), tables(this, "tables"), mlp(mlp_of(c)) {
  NoGrad off;
  for (int64_t cardinality : c.cardinalities) {
    table_of_.push_back(cardinality == 0 ? kNoTable : tables.size());
    if (cardinality > 0) uniform_(tables.emplace_back(cardinality, c.width).weight, -c.scale, c.scale);
  }
  register_parameter("defaults", defaults, zeros({features(), c.width}));
  defaults.requires_grad_(c.train_default);
  register_module("mlp", mlp);
}

Tensor FeatureTower::operator()(const std::vector<FeatureColumn>& columns, const std::vector<bool>& hidden) const {
  if (static_cast<int64_t>(columns.size()) != features() || (!hidden.empty() && hidden.size() != columns.size()))
    throw ShapeError(
        fmt::format("feature_tower: {} columns, {} of them with a mask, for {} features", columns.size(), hidden.size(), features()));
  std::vector<Tensor> parts;
  for (size_t f = 0; f < columns.size(); ++f) {
    const FeatureColumn& c = columns[f];
    if (!hidden.empty() && hidden[f]) {
      parts.push_back(expand(narrow(defaults, 0, static_cast<int64_t>(f), 1), {batch_of(c), config_.width}));
      continue;
    }
    if (!c.rows.defined() && table_of_[f] == kNoTable) throw ValueError(fmt::format("feature_tower: feature {} comes without its rows", f));
    Tensor table = c.rows.defined() ? c.rows : Tensor(tables[table_of_[f]].weight);
    parts.push_back(c.offsets.defined() ? embedding_bag(table, c.values, c.offsets) : embedding(table, c.values));
  }
  Tensor h = mlp(cat(parts, 1));
  return config_.tanh_output ? tanh(h) : h;
}

}  // namespace plumb::methods::item_ssl

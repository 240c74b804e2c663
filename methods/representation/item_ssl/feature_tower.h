// A tower of the two-tower model: categorical features → embeddings → perceptron → a direction.
#pragma once
#include <cstdint>
#include <vector>

#include "engine/core/generator.h"
#include "engine/data/recommendation.h"
#include "models/mlp/mlp.h"
#include "models/nn/embedding.h"

namespace plumb::methods::item_ssl {

/// One feature of a batch of items.
struct FeatureColumn {
  Tensor values;   ///< i64: one an item [B], or with offsets all of them one after the other
  Tensor offsets;  ///< i64 [B]: where each item's values begin; undefined: one each
  Tensor rows;     ///< [n, width], the table that values are rows of; undefined: the tower's own
};

/// The features of a catalogue's items, their number first: "id", of which each item has its own.
class ItemColumns {
 public:
  explicit ItemColumns(const data::RecommendationSet& set);
  /// The features of these items, the first being the items themselves. Throws IndexError for an item that the catalogue never has shown.
  std::vector<FeatureColumn> operator()(const std::vector<int64_t>& items) const;
  const std::vector<data::ItemFeature>& features() const { return features_; }
  std::vector<int64_t> cardinalities() const;
  int64_t items() const { return items_; }

 private:
  int64_t items_;
  std::vector<data::ItemFeature> features_;
};

/// The columns with each value of features that have several dropped with probability `rate`; those with one value stay as they are. Throws
/// ValueError unless 0 ≤ rate < 1.
std::vector<FeatureColumn> drop_values(const std::vector<FeatureColumn>& columns, double rate, Generator& generator);

/// Items [begin, end) of a batch.
std::vector<FeatureColumn> narrow_columns(const std::vector<FeatureColumn>& columns, int64_t begin, int64_t end);

struct FeatureTowerConfig {
  std::vector<int64_t> cardinalities;  ///< of each feature; 0: its rows come with each batch (parallel::ShardedEmbedding)
  int64_t width = 16;                  ///< of an embedding
  std::vector<int64_t> hidden{64};
  int64_t outputs = 32;
  double scale = 0.1;                  ///< embeddings start as U(−scale, scale)
  bool tanh_output = false;            ///< tanh after the last layer
  bool train_default = false;          ///< whether the rows that stand for hidden features are learned; else they stay 0
};

/// h(features): each feature's embedding (the mean of several, 0 of none; the default row where it is hidden), all side by side, ReLU
/// layers → [B, outputs]. Directions are what counts: losses and search compare cosines.
class FeatureTower : public nn::Module {
 public:
  /// Throws ValueError for no features or a negative cardinality, ConfigError as mlp::MlpConfig::check.
  explicit FeatureTower(const FeatureTowerConfig& config);
  /// `hidden`: which features a view hides; empty: none. Throws ShapeError for another number of columns, ValueError for a feature without
  /// a table, IndexError for a value outside its table.
  Tensor operator()(const std::vector<FeatureColumn>& columns, const std::vector<bool>& hidden = {}) const;
  int64_t features() const { return static_cast<int64_t>(config_.cardinalities.size()); }

 private:
  FeatureTowerConfig config_;
  std::vector<size_t> table_of_;  // the place of a feature's table

 public:
  nn::ModuleList<nn::Embedding> tables;
  nn::Parameter defaults;  ///< [k, width]
  mlp::Mlp mlp;
};

}  // namespace plumb::methods::item_ssl

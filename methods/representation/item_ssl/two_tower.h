// The two-tower model trained from clicks with an item regulariser beside, in one process or several that share its tables.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "methods/representation/item_ssl/feature_tower.h"
#include "methods/representation/item_ssl/item_ssl.h"
#include "models/parallel/sharded_embedding.h"

namespace plumb::methods::item_ssl {

/// What is done beside the clicks' loss.
enum class Regulariser : uint8_t {
  none,
  feature_dropout,  ///< the items of clicks hide a random half of their features; no second task
  spread_out,       ///< α spread_out_loss of uniformly drawn items with all features
  contrastive       ///< α item_ssl_loss of two views of uniformly drawn items
};

struct TwoTowerOptions {
  int64_t width = 16;  ///< of embeddings
  std::vector<int64_t> hidden{64};
  int64_t outputs = 32;
  double scale = 0.1;  ///< embeddings start as U(−scale, scale)
  bool train_default = false;
  double tau = 0.1, tau_ssl = 0.1;
  Regulariser regulariser = Regulariser::none;
  FeatureMaskPattern pattern = FeatureMaskPattern::cfm;
  double alpha = 0.3;          ///< 0: the regulariser is not computed at all
  double value_dropout = 0.1;  ///< of the values of features with several, in the views
  int64_t ssl_batch = 256;     ///< items drawn uniformly for it
  bool log_q = false;          ///< corrects the columns of the softmax by how often their items are taken
  bool drop_accidental_hits = true;
  optim::AdamOptions adam{.lr = 2e-3};
  DType dtype = f32;           ///< or f64
  uint64_t seed = 0;           ///< of the start of all tables and layers
  dist::Communicator* processes = nullptr;
};

/// Users are their numbers, items their numbers and features. The two tables of numbers are parallel::ShardedEmbedding, whose steps cost
/// what they touch; all else is held by every process. Processes make each call together with the same arguments: each looks up and
/// computes its share of a batch, the directions are exchanged, and each has the whole loss.
class TwoTower {
 public:
  /// `set` gives the catalogue, its users, and in their training clicks how popular items are and what features tell of each other. The
  /// default generator stays where it is. Throws ValueError for options out of range.
  TwoTower(const data::RecommendationSet& set, const TwoTowerOptions& options);

  /// One step of Adam on the clicks (users[i], items[i]); `generator` draws the items of the regulariser, their masks and dropped values,
  /// so that the clicks' order can come from another one. Returns the loss. Throws IndexError for users or items that were never seen.
  double step(const std::vector<int64_t>& users, const std::vector<int64_t>& items, Generator& generator);
  /// Of the last step: the loss of clicks, and of the regulariser (before α).
  double main_loss() const { return main_loss_; }
  double regulariser_loss() const { return regulariser_loss_; }

  /// Unit vectors [n, outputs], with all features, computed in blocks. Throws IndexError as step.
  Tensor user_vectors(const std::vector<int64_t>& users) const;
  Tensor item_vectors(const std::vector<int64_t>& items) const;
  Tensor all_item_vectors() const;

  const ItemColumns& columns() const { return columns_; }
  const std::vector<int64_t>& counts() const { return counts_; }
  const std::vector<std::vector<double>>& mutual_information() const { return mutual_information_; }
  parallel::ShardedEmbedding& user_table() { return user_table_; }
  parallel::ShardedEmbedding& item_table() { return item_table_; }
  FeatureTower& query_tower() { return query_tower_; }
  FeatureTower& item_tower() { return item_tower_; }

 private:
  struct Share {
    int64_t begin, end;
  };
  Share share_of(int64_t n) const;
  void check_users(const std::vector<int64_t>& users) const;
  Tensor regulariser(const std::vector<FeatureColumn>& first, const std::vector<FeatureColumn>& second, const MaskPair& masks) const;

  TwoTowerOptions options_;
  ItemColumns columns_;
  int64_t users_;
  std::vector<int64_t> counts_;
  std::vector<std::vector<double>> mutual_information_;
  std::optional<CorrelatedMask> correlated_;
  parallel::ShardedEmbedding user_table_, item_table_;
  FeatureTower query_tower_, item_tower_;
  optim::Adam adam_;
  double main_loss_ = 0, regulariser_loss_ = 0;
};

}  // namespace plumb::methods::item_ssl

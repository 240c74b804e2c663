// What the experiments of item_ssl do alike: the variants by name, training one of them, and the scores of a trained model.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "engine/data/recommendation.h"
#include "methods/experiment.h"
#include "methods/representation/item_ssl/two_tower.h"

namespace plumb::methods::item_ssl {

struct Rates {
  double alpha = 0.3;         ///< of the two views
  double spread_alpha = 0.3;  ///< of spread-out
  double lr = 2e-3;
};

/// "none", "FD", "SO", "RFM", "RFM-complementary", "CFM", baselines first.
std::vector<Variant> trial_variants();
/// `base` with what the variant does beside the clicks. Throws ValueError for another name.
TwoTowerOptions with_variant(TwoTowerOptions base, const std::string& variant, const Rates& rates);

struct TrialOptions {
  int64_t epochs = 12, batch = 256;
  int64_t judged = 0;     ///< the first so many users with a test are judged; 0: all
  double share = 1;       ///< of all training clicks, drawn at random: the rest is left out
  double from = 0, to = 1;  ///< of the cell's progress
  std::string when;       ///< what metrics and charts end with: ", 30 % of clicks"
};

/// Those of the training clicks that are kept; a user may be left with none.
data::RecommendationSet with_share(const data::RecommendationSet& set, double share, Generator& generator);

/// Trains on set.train (each epoch all clicks in a new order, of full batches) and measures "recall@50" and "MAP@10" on all items, on the
/// tenth with most training clicks ("head") and on the others ("tail"), in per cent, with `when` behind.
void run_trial(Cell& cell, const data::RecommendationSet& set, const TwoTowerOptions& options, const TrialOptions& trial);
/// What run_trial measures, for these endings.
std::vector<Metric> trial_metrics(const std::vector<std::string>& endings);

}  // namespace plumb::methods::item_ssl

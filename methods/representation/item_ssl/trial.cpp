// Variants, training and scores of the experiments of item_ssl.
#include "methods/representation/item_ssl/trial.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "engine/core/error.h"
#include "engine/data/dataset.h"
#include "methods/representation/item_ssl/evaluation.h"

namespace plumb::methods::item_ssl {
namespace {

constexpr int64_t kRecallAt = 50, kPrecisionAt = 10;

struct Clicks {
  std::vector<int64_t> users, items;
};

Clicks clicks_of(const data::RecommendationSet& set) {
  Clicks all;
  for (size_t u = 0; u < set.train.size(); ++u)
    for (int64_t item : set.train[u]) {
      all.users.push_back(static_cast<int64_t>(u));
      all.items.push_back(item);
    }
  return all;
}

void measure(Cell& cell, const data::RecommendationSet& set, const TwoTower& model, const TrialOptions& trial) {
  std::vector<int64_t> users;
  std::vector<std::vector<int64_t>> truth, exclude;
  for (size_t u = 0; u < set.test.size(); ++u) {
    if (set.test[u].empty() || (trial.judged > 0 && static_cast<int64_t>(users.size()) == trial.judged)) continue;
    users.push_back(static_cast<int64_t>(u));
    truth.push_back(set.test[u]);
    exclude.push_back(set.train[u]);
  }
  auto scores = evaluate_retrieval(model.user_vectors(users), model.all_item_vectors(), truth, exclude, {kPrecisionAt, kRecallAt},
                                   popularity_slices(model.counts()));
  for (const SliceScores& s : scores) {
    std::string slice = s.slice == "all" ? "" : ", " + s.slice;
    cell.metric(fmt::format("recall@{}{}{} (%)", kRecallAt, slice, trial.when), 100 * s.recall[1]);
    cell.metric(fmt::format("MAP@{}{}{} (%)", kPrecisionAt, slice, trial.when), 100 * s.average_precision[0]);
  }
}

}  // namespace

std::vector<Variant> trial_variants() {
  return {{"none", "clicks alone"},
          {"FD", "clicks whose items hide a random half of their features; no second task"},
          {"SO", "spread-out: the squared cosines of uniformly drawn items"},
          {"RFM", "two views, each hiding its own random half"},
          {"RFM-complementary", "two views, a random half and the rest"},
          {"CFM", "two views, a feature with those that tell most about it and the rest"}};
}

TwoTowerOptions with_variant(TwoTowerOptions o, const std::string& variant, const Rates& rates) {
  o.adam.lr = rates.lr;
  o.alpha = variant == "SO" ? rates.spread_alpha : rates.alpha;
  if (variant == "none") o.regulariser = Regulariser::none;
  else if (variant == "FD") o.regulariser = Regulariser::feature_dropout;
  else if (variant == "SO") o.regulariser = Regulariser::spread_out;
  else o.regulariser = Regulariser::contrastive;
  if (variant == "RFM") o.pattern = FeatureMaskPattern::rfm;
  else if (variant == "RFM-complementary") o.pattern = FeatureMaskPattern::rfm_complementary;
  else if (variant == "CFM") o.pattern = FeatureMaskPattern::cfm;
  else if (o.regulariser == Regulariser::contrastive) throw ValueError(fmt::format("item_ssl: there is no variant \"{}\"", variant));
  return o;
}

data::RecommendationSet with_share(const data::RecommendationSet& set, double share, Generator& generator) {
  if (!(share > 0 && share <= 1)) throw ValueError(fmt::format("item_ssl: the share of clicks must lie in (0, 1], it is {}", share));
  data::RecommendationSet left = set;
  if (share == 1) return left;
  Clicks all = clicks_of(set);
  auto count = static_cast<int64_t>(all.users.size());
  std::vector<int64_t> order = data::random_order(count, generator);
  order.resize(static_cast<size_t>(std::max<int64_t>(1, static_cast<int64_t>(share * static_cast<double>(count)))));
  std::sort(order.begin(), order.end());
  for (auto& items : left.train) items.clear();
  for (int64_t at : order)
    left.train[static_cast<size_t>(all.users[static_cast<size_t>(at)])].push_back(all.items[static_cast<size_t>(at)]);
  return left;
}

void run_trial(Cell& cell, const data::RecommendationSet& set, const TwoTowerOptions& options, const TrialOptions& trial) {
  TwoTower model(set, options);
  Clicks clicks = clicks_of(set);
  Generator order_of(2 * cell.seed()), drawn(2 * cell.seed() + 1);
  const auto count = static_cast<int64_t>(clicks.users.size()), batch = std::min(trial.batch, count);
  for (int64_t epoch = 0; epoch < trial.epochs; ++epoch) {
    std::vector<int64_t> order = data::random_order(count, order_of);
    double loss = 0, other = 0;
    const int64_t steps = count / batch;
    for (int64_t step = 0; step < steps; ++step) {
      std::vector<int64_t> users, items;
      for (int64_t i = step * batch; i < (step + 1) * batch; ++i) {
        auto at = static_cast<size_t>(order[static_cast<size_t>(i)]);
        users.push_back(clicks.users[at]);
        items.push_back(clicks.items[at]);
      }
      model.step(users, items, drawn);
      loss += model.main_loss() / static_cast<double>(steps);
      other += model.regulariser_loss() / static_cast<double>(steps);
      cell.progress(trial.from +
                    (trial.to - trial.from) * static_cast<double>(epoch * steps + step) / static_cast<double>(trial.epochs * steps));
    }
    auto at = static_cast<double>(epoch + 1);
    cell.point("loss of clicks" + trial.when, "epochs", at, loss);
    if (options.regulariser == Regulariser::contrastive) cell.point("loss of views" + trial.when, "epochs", at, other);
  }
  measure(cell, set, model, trial);
}

std::vector<Metric> trial_metrics(const std::vector<std::string>& endings) {
  std::vector<Metric> metrics;
  for (const std::string& when : endings)
    for (const char* slice : {"", ", head", ", tail"})
      for (const std::string& what : {fmt::format("recall@{}", kRecallAt), fmt::format("MAP@{}", kPrecisionAt)})
        metrics.push_back({what + slice + when + " (%)"});
  return metrics;
}

}  // namespace plumb::methods::item_ssl

// Two towers on a small catalogue with a power law, with all clicks and with 30 % of them: does agreement of two views of an item help
// where clicks are few? On MovieLens where its files are there.
#include <algorithm>

#include "methods/experiment.h"
#include "methods/representation/item_ssl/trial.h"

namespace plumb::methods::item_ssl {
namespace {

// The rates of each variant's own part, looked for on other seeds than those that are reported.
constexpr Rates kRates{.alpha = 0.3, .spread_alpha = 0.3, .lr = 2e-3};
constexpr double kFew = 0.3;
const std::string kAllClicks, kFewClicks = ", 30 % of clicks";

data::RecommendationSet make_set(const Cell& cell, uint64_t seed) {
  if (cell.budget() == Budget::smoke) return data::power_law_catalogue({.items = 200, .users = 60, .types = 8, .taken = 14}, seed);
  std::string directory = data::find_movielens();
  return directory.empty() ? data::power_law_catalogue({}, seed) : data::movielens(directory, {.least_rating = 4});
}

void run(Cell& cell) {
  auto set = cell.shared("catalogue", [&] { return make_set(cell, default_generator().next_u64()); });
  auto few = cell.shared("few clicks", [&] { return with_share(*set, kFew, default_generator()); });
  TwoTowerOptions base{.ssl_batch = cell.pick<int64_t>(64, 256, 2048), .seed = cell.seed()};
  TwoTowerOptions options = with_variant(base, cell.variant(), kRates);
  TrialOptions trial{.epochs = cell.pick<int64_t>(3, 12, 100), .batch = cell.pick<int64_t>(64, 256, 2048)};
  // MovieLens has more clicks than the catalogue that is generated: as many steps, so fewer epochs, and a thousand users to judge by.
  if (set->name == "MovieLens" && cell.budget() == Budget::usual) {
    int64_t clicks = 0;
    for (const auto& taken : set->train) clicks += static_cast<int64_t>(taken.size());
    trial.epochs = std::max<int64_t>(1, trial.epochs * 16'000 / clicks);
    trial.judged = 1000;
  }
  TrialOptions less = trial;
  trial.to = 0.75;
  less.from = 0.75;
  less.when = kFewClicks;
  run_trial(cell, *set, options, trial);
  run_trial(cell, *few, options, less);
  cell.point("items of the catalogue (" + set->name + ")", "share of clicks", 1, static_cast<double>(set->items));
}

}  // namespace

Experiment experiment() {
  return {.title = "Item SSL (RFM, CFM)",
          .paper = "Yao, Yi, Cheng, Yu, Chen, Menon, Hong, Chi, Tjoa, Kang, Ettinger: Self-supervised Learning for Large-scale Item "
                   "Recommendations, CIKM 2021",
          .claim = "two views of an item that hide different features and must agree find more of the tail, and more where clicks are few, "
                   "than clicks alone, feature dropout and spread-out",
          .metrics = trial_metrics({kAllClicks, kFewClicks}),
          .variants = trial_variants(),
          .baseline = "none",
          .method = "CFM",
          .run = run};
}

}  // namespace plumb::methods::item_ssl

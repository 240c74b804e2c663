// The variants of item_ssl on a catalogue of 100,000 items, of which most have no click at all.
#include "methods/experiment.h"
#include "methods/representation/item_ssl/trial.h"

namespace plumb::methods::item_ssl_catalogue {
namespace {

constexpr item_ssl::Rates kRates{.alpha = 0.3, .spread_alpha = 0.3, .lr = 5e-3};
// So that nine clicks in ten are of types that the user likes, as in the small catalogue: 30 types at 0.01 there.
constexpr double kOther = 0.0014;
const std::string kUncorrected = ", no log-Q";

data::PowerLawOptions catalogue(const Cell& cell) {
  return {.items = cell.pick<int64_t>(2000, 100'000, 1'000'000),
          .users = cell.pick<int64_t>(60, 3000, 100'000),
          .types = cell.pick<int64_t>(20, 200, 500),
          .other = kOther,
          .cardinality = cell.pick<int64_t>(20, 100, 200),
          .tags = cell.pick<int64_t>(30, 300, 1000)};
}

void run(Cell& cell) {
  auto set = cell.shared("catalogue", [&] { return data::power_law_catalogue(catalogue(cell), default_generator().next_u64()); });
  std::string variant = cell.variant();
  const bool corrected = !variant.ends_with(kUncorrected);
  if (!corrected) variant.resize(variant.size() - kUncorrected.size());
  item_ssl::TwoTowerOptions base{.ssl_batch = cell.pick<int64_t>(64, 256, 2048), .log_q = corrected, .seed = cell.seed()};
  item_ssl::run_trial(cell, *set, item_ssl::with_variant(base, variant, kRates),
                      {.epochs = cell.pick<int64_t>(1, 6, 20),
                       .batch = cell.pick<int64_t>(128, 256, 2048),
                       .judged = cell.pick<int64_t>(20, 1000, 10'000)});
}

}  // namespace

Experiment experiment() {
  std::vector<Variant> variants = item_ssl::trial_variants();
  for (const char* name : {"none", "CFM"})
    variants.insert(variants.end() - 1, {name + kUncorrected, "popularity is not taken out of the softmax"});
  return {.title = "Item SSL, 100,000 items",
          .paper = "Yao, Yi, Cheng, Yu, Chen, Menon, Hong, Chi, Tjoa, Kang, Ettinger: Self-supervised Learning for Large-scale Item "
                   "Recommendations, CIKM 2021",
          .claim = "in a catalogue most of whose items were never clicked, agreement of two views finds more of the tail than clicks alone",
          .metrics = item_ssl::trial_metrics({""}),
          .variants = variants,
          .baseline = "none",
          .method = "CFM",
          .run = run};
}

}  // namespace plumb::methods::item_ssl_catalogue

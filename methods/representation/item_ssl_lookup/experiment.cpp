// What looking up a batch's rows costs as a table grows from 10,000 to 10 million items, here in one process; examples/sharded_lookup is
// the same over several.
#include <cmath>
#include <vector>

#include "methods/experiment.h"
#include "methods/representation/item_ssl/lookup.h"
#include "models/nn/embedding.h"

namespace plumb::methods::item_ssl_lookup {
namespace {

constexpr int64_t kWidth = 16, kBatch = 4096;
constexpr double kPopularity = 1.1;

/// The slope of log cost over log items, by least squares: 0 where cost does not grow, 1 where it is proportional.
double exponent_of(const std::vector<double>& items, const std::vector<double>& cost) {
  double n = static_cast<double>(items.size()), sx = 0, sy = 0, sxx = 0, sxy = 0;
  for (size_t i = 0; i < items.size(); ++i) {
    double x = std::log(items[i]), y = std::log(cost[i]);
    sx += x, sy += y, sxx += x * x, sxy += x * y;
  }
  return (n * sxy - sx * sy) / (n * sxx - sx * sx);
}

item_ssl::LookupCost cost_of(const Cell& cell, int64_t items, const item_ssl::LookupLoad& load) {
  Generator g(cell.seed());
  if (cell.is("dense")) return item_ssl::dense_lookup_cost(nn::Embedding(items, kWidth), load, g);
  parallel::ShardedEmbedding table(items, kWidth, {.seed = cell.seed()});
  return item_ssl::lookup_cost(table, load, g);
}

void run(Cell& cell) {
  const std::vector<int64_t> sizes = cell.budget() == Budget::smoke ? std::vector<int64_t>{1000, 10'000}
                                                                    : std::vector<int64_t>{10'000, 100'000, 1'000'000, 10'000'000};
  // A step of the dense table reads and writes all of it, so few of them are made.
  const int64_t repeats = cell.is("dense") ? cell.pick<int64_t>(1, 3, 20) : cell.pick<int64_t>(2, 30, 200);
  const item_ssl::LookupLoad load{.batch = kBatch, .exponent = cell.is("power law") ? kPopularity : 0, .repeats = repeats};
  std::vector<double> items, fetch, step;
  item_ssl::LookupCost cost;
  for (size_t i = 0; i < sizes.size(); ++i) {
    cell.progress(static_cast<double>(i) / static_cast<double>(sizes.size()));
    cost = cost_of(cell, sizes[i], load);
    items.push_back(static_cast<double>(sizes[i]));
    fetch.push_back(cost.fetch_ns);
    step.push_back(cost.step_ns);
    cell.point("lookup (ns a number)", "log10 of items", std::log10(items.back()), cost.fetch_ns);
    cell.point("lookup and update (ns a number)", "log10 of items", std::log10(items.back()), cost.step_ns);
  }
  cell.metric("lookup, most items (ns)", fetch.back());
  cell.metric("lookup and update, most items (ns)", step.back());
  cell.metric("lookup, growth exponent", exponent_of(items, fetch));
  cell.metric("lookup and update, growth exponent", exponent_of(items, step));
  cell.metric("different rows (%)", 100 * cost.different);
}

}  // namespace

Experiment experiment() {
  return {
      .title = "Item SSL, cost of lookups",
      .paper =
          "Yao, Yi, Cheng, Yu, Chen, Menon, Hong, Chi, Tjoa, Kang, Ettinger: Self-supervised Learning for Large-scale Item "
          "Recommendations, CIKM 2021",
      .claim = "looking up and updating a batch's rows costs far less than in proportion to the catalogue, from 10,000 items to 10 million",
      .metrics = {{"lookup and update, growth exponent", Better::lower},
                  {"lookup and update, most items (ns)", Better::lower},
                  {"lookup, growth exponent", Better::lower},
                  {"lookup, most items (ns)", Better::lower},
                  {"different rows (%)", Better::neither}},
      .variants = {{"dense", "a plain table, uniform numbers: Adam visits every row"},
                   {"uniform", "every item is as likely as any other: what uniformly drawn items of the regulariser ask for"},
                   {"power law", "popularity falls with exponent 1.1: what clicks ask for"}},
      .baseline = "dense",
      .method = "power law",
      .run = run};
}

}  // namespace plumb::methods::item_ssl_lookup

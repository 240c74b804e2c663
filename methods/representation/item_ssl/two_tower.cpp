// A training step, in which every process computes its share of the batch, and the vectors that a trained model serves.
#include "methods/representation/item_ssl/two_tower.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/autograd/grad_mode.h"
#include "ops/join.h"
#include "ops/normalize.h"
#include "ops/pointwise.h"
#include "ops/shape.h"

namespace plumb::methods::item_ssl {
namespace {

constexpr size_t kBlock = 4096;  // of items whose vectors are computed together

/// A tower that starts from `seed`, wherever the default generator stands.
FeatureTower make_tower(const std::vector<int64_t>& cardinalities, const TwoTowerOptions& o, uint64_t seed) {
  Generator before = default_generator();
  manual_seed(seed);
  FeatureTower tower({.cardinalities = cardinalities,
                      .width = o.width,
                      .hidden = o.hidden,
                      .outputs = o.outputs,
                      .scale = o.scale,
                      .train_default = o.train_default});
  tower.to(o.dtype);
  default_generator() = before;
  return tower;
}

/// The items' number is looked up in the shared table.
std::vector<int64_t> own_tables(std::vector<int64_t> cardinalities) {
  cardinalities[0] = 0;
  return cardinalities;
}

const TwoTowerOptions& checked(const TwoTowerOptions& o) {
  auto positive = [](const char* what, double value) {
    if (!(value > 0)) throw ValueError(fmt::format("two_tower: {} must be positive, it is {}", what, value));
  };
  positive("tau", o.tau);
  positive("tau_ssl", o.tau_ssl);
  positive("ssl_batch", static_cast<double>(o.ssl_batch));
  if (!(o.alpha >= 0)) throw ValueError(fmt::format("two_tower: alpha must not be negative, it is {}", o.alpha));
  return o;
}

std::vector<Tensor> trained(const FeatureTower& a, const FeatureTower& b) {
  std::vector<Tensor> all;
  for (const FeatureTower* tower : {&a, &b})
    for (const Tensor& p : tower->parameters())
      if (p.requires_grad()) all.push_back(p);
  return all;
}

std::vector<int64_t> part(const std::vector<int64_t>& all, int64_t begin, int64_t end) { return {all.begin() + begin, all.begin() + end}; }

/// Of the features but the first, the number, whose row and column stay 0.
std::vector<std::vector<double>> table_of(const data::RecommendationSet& set, const std::vector<int64_t>& counts) {
  std::vector<double> weights(counts.begin(), counts.end());
  auto inner = mutual_information_table(set.features, set.items, weights);
  std::vector<std::vector<double>> table(inner.size() + 1, std::vector<double>(inner.size() + 1));
  for (size_t a = 0; a < inner.size(); ++a) std::copy(inner[a].begin(), inner[a].end(), table[a + 1].begin() + 1);
  return table;
}

}  // namespace

TwoTower::TwoTower(const data::RecommendationSet& set, const TwoTowerOptions& o)
    : options_(checked(o)),
      columns_(set),
      users_(set.users()),
      counts_(set.counts()),
      user_table_(users_, o.width, {.scale = o.scale, .seed = 4 * o.seed, .dtype = o.dtype, .processes = o.processes}),
      item_table_(set.items, o.width, {.scale = o.scale, .seed = 4 * o.seed + 1, .dtype = o.dtype, .processes = o.processes}),
      query_tower_(make_tower({0}, o, 4 * o.seed + 2)),
      item_tower_(make_tower(own_tables(columns_.cardinalities()), o, 4 * o.seed + 3)),
      adam_(trained(query_tower_, item_tower_), o.adam) {
  if (o.regulariser != Regulariser::contrastive || o.pattern != FeatureMaskPattern::cfm || o.alpha == 0) return;
  mutual_information_ = table_of(set, counts_);
  correlated_.emplace(mutual_information_, std::vector<int64_t>{0});
}

TwoTower::Share TwoTower::share_of(int64_t n) const {
  if (!options_.processes) return {0, n};
  int64_t rank = options_.processes->rank(), size = options_.processes->size();
  return {rank * n / size, (rank + 1) * n / size};
}

void TwoTower::check_users(const std::vector<int64_t>& users) const {
  for (int64_t user : users)
    if (user < 0 || user >= users_) throw IndexError(fmt::format("item_ssl: user {} was never seen: there are {} users", user, users_));
}

Tensor TwoTower::regulariser(const std::vector<FeatureColumn>& first, const std::vector<FeatureColumn>& second,
                             const MaskPair& masks) const {
  Tensor z1 = parallel::gathered_rows(item_tower_(first, masks.first), options_.processes);
  if (options_.regulariser == Regulariser::spread_out) return spread_out_loss(z1);
  return item_ssl_loss(z1, parallel::gathered_rows(item_tower_(second, masks.second), options_.processes), options_.tau_ssl);
}

double TwoTower::step(const std::vector<int64_t>& users, const std::vector<int64_t>& items, Generator& generator) {
  if (users.size() != items.size() || users.empty())
    throw ShapeError(fmt::format("item_ssl: {} users with {} items; a step takes pairs", users.size(), items.size()));
  check_users(users);
  const auto batch = static_cast<int64_t>(users.size());
  const bool dropout = options_.regulariser == Regulariser::feature_dropout, views = options_.regulariser == Regulariser::contrastive;
  const bool beside = options_.alpha > 0 && (views || options_.regulariser == Regulariser::spread_out);

  // All processes draw alike, for the whole batch, and then take their share.
  std::vector<FeatureColumn> clicked = columns_(items), first, second;
  MaskPair masks;
  std::vector<int64_t> drawn;
  if (dropout) masks = draw_masks(FeatureMaskPattern::rfm, item_tower_.features(), nullptr, generator);
  std::vector<bool> hidden = dropout ? masks.first : std::vector<bool>{};
  if (beside) {
    drawn = sample_items(columns_.items(), options_.ssl_batch, generator);
    first = second = columns_(drawn);
    masks = {};
    if (views) {
      masks = draw_masks(options_.pattern, item_tower_.features(), correlated_ ? &*correlated_ : nullptr, generator);
      first = drop_values(first, options_.value_dropout, generator);
      second = drop_values(second, options_.value_dropout, generator);
    }
  }
  Share own = share_of(batch), own_drawn = share_of(static_cast<int64_t>(drawn.size()));
  std::vector<int64_t> numbers = part(items, own.begin, own.end), more = part(drawn, own_drawn.begin, own_drawn.end);
  numbers.insert(numbers.end(), more.begin(), more.end());
  parallel::FetchedRows user_rows = user_table_.fetch(from_vector(part(users, own.begin, own.end)));
  parallel::FetchedRows item_rows = item_table_.fetch(from_vector(numbers));
  clicked = narrow_columns(clicked, own.begin, own.end);
  clicked[0] = {narrow(item_rows.place, 0, 0, own.end - own.begin), {}, item_rows.values};
  if (beside)
    for (auto* view : {&first, &second}) {
      *view = narrow_columns(*view, own_drawn.begin, own_drawn.end);
      (*view)[0] = {narrow(item_rows.place, 0, own.end - own.begin, own_drawn.end - own_drawn.begin), {}, item_rows.values};
    }

  Tensor queries = parallel::gathered_rows(query_tower_({{user_rows.place, {}, user_rows.values}}), options_.processes);
  Tensor answers = parallel::gathered_rows(item_tower_(clicked, hidden), options_.processes);
  BatchSoftmaxOptions softmax;
  if (options_.log_q) softmax.log_q = log_probabilities(counts_, items);
  if (options_.drop_accidental_hits) softmax.item = from_vector(items);
  Tensor loss = batch_softmax_loss(queries, answers, options_.tau, softmax);
  main_loss_ = loss.item();
  if (beside) {
    Tensor other = regulariser(first, second, masks);
    regulariser_loss_ = other.item();
    loss = loss + other * options_.alpha;
  }
  adam_.zero_grad();
  loss.backward();
  parallel::sum_gradients(adam_.parameters(), options_.processes);
  user_table_.update(user_rows, options_.adam);
  item_table_.update(item_rows, options_.adam);
  adam_.step();
  return loss.item();
}

Tensor TwoTower::user_vectors(const std::vector<int64_t>& users) const {
  NoGrad off;
  check_users(users);
  parallel::FetchedRows rows = user_table_.fetch(from_vector(users));
  return normalize(query_tower_({{rows.place, {}, rows.values}}));
}

Tensor TwoTower::item_vectors(const std::vector<int64_t>& items) const {
  NoGrad off;
  std::vector<Tensor> blocks;
  for (size_t begin = 0; begin < items.size(); begin += kBlock) {
    std::vector<int64_t> block(items.begin() + static_cast<int64_t>(begin),
                               items.begin() + static_cast<int64_t>(std::min(items.size(), begin + kBlock)));
    std::vector<FeatureColumn> columns = columns_(block);
    Share own = share_of(static_cast<int64_t>(block.size()));
    parallel::FetchedRows rows = item_table_.fetch(from_vector(part(block, own.begin, own.end)));
    columns = narrow_columns(columns, own.begin, own.end);
    columns[0] = {rows.place, {}, rows.values};
    blocks.push_back(parallel::gathered_rows(normalize(item_tower_(columns)), options_.processes));
  }
  return blocks.empty() ? zeros({0, options_.outputs}, options_.dtype) : cat(blocks, 0);
}

Tensor TwoTower::all_item_vectors() const {
  std::vector<int64_t> all(static_cast<size_t>(columns_.items()));
  for (size_t i = 0; i < all.size(); ++i) all[i] = static_cast<int64_t>(i);
  return item_vectors(all);
}

}  // namespace plumb::methods::item_ssl

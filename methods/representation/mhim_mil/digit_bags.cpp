// Filling bags.
#include "methods/representation/mhim_mil/digit_bags.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "engine/data/dataset.h"
#include "ops/index.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/shape.h"

namespace plumb::methods::mhim_mil {
namespace {

constexpr int64_t kPositive = 9;

void check(int64_t count, const Tensor& rows, const Tensor& labels, const BagOptions& o) {
  if (count < 1) throw ValueError(fmt::format("digit_bags: {} bags", count));
  if (rows.rank() != 2 || labels.rank() != 1 || labels.numel() != rows.size(0))
    throw ShapeError(fmt::format("digit_bags: rows {} and labels {} do not fit", to_string(rows.shape()), to_string(labels.shape())));
  if (o.min_nines < 1 || o.max_nines < o.min_nines || o.min_size < o.max_nines || o.max_size < o.min_size)
    throw ValueError(
        fmt::format("digit_bags: {} to {} nines in bags of {} to {} instances", o.min_nines, o.max_nines, o.min_size, o.max_size));
  for (double share : {o.positive, o.hard, o.noisy})
    if (!(share >= 0 && share <= 1)) throw ValueError(fmt::format("digit_bags: shares must lie in [0, 1], one is {:g}", share));
  if (!(o.noise >= 0)) throw ValueError(fmt::format("digit_bags: noise must not be negative, it is {:g}", o.noise));
}

// Which rows are nines, and which are not.
struct Pools {
  std::vector<int64_t> nines, others;
  explicit Pools(const Tensor& labels) {
    auto values = to_vector<int64_t>(labels);
    for (size_t i = 0; i < values.size(); ++i) (values[i] == kPositive ? nines : others).push_back(static_cast<int64_t>(i));
    if (nines.empty() || others.empty())
      throw ValueError(fmt::format("digit_bags: {} nines and {} others to draw from", nines.size(), others.size()));
  }
};

int64_t between(int64_t low, int64_t high, Generator& g) {
  return low + static_cast<int64_t>(g.next_below(static_cast<uint64_t>(high - low + 1)));
}

Bag filled(BagKind kind, const Tensor& rows, const Pools& pools, const BagOptions& o, Generator& g) {
  auto any_of = [&](const std::vector<int64_t>& pool) { return pool[static_cast<size_t>(g.next_below(pool.size()))]; };
  int64_t n = between(o.min_size, o.max_size, g), nines = kind == BagKind::negative ? 0 : between(o.min_nines, o.max_nines, g);
  std::vector<int64_t> order = data::random_order(n, g), places(static_cast<size_t>(n));
  std::vector<float> deviation(static_cast<size_t>(n));
  Bag bag{{}, kind, std::vector<int64_t>(order.begin(), order.begin() + nines)};
  std::sort(bag.positives.begin(), bag.positives.end());
  for (size_t i = 0; i < places.size(); ++i) {
    bool nine = std::binary_search(bag.positives.begin(), bag.positives.end(), static_cast<int64_t>(i));
    places[i] = any_of(nine ? pools.nines : pools.others);
    bool noisy = nine ? kind == BagKind::hard : g.next_double() < o.noisy;
    deviation[i] = noisy ? static_cast<float>(o.noise) : 0.0f;
  }
  Tensor clean = index_select(rows, 0, from_vector(places));
  bag.x = clean + unsqueeze(from_vector(deviation), 1) * randn_like(clean, &g);
  return bag;
}

}  // namespace

Tensor Bag::label() const { return tensor({kind == BagKind::negative ? 0 : 1}); }

std::vector<Bag> digit_bags(int64_t count, const Tensor& rows, const Tensor& labels, const BagOptions& o, Generator& g) {
  check(count, rows, labels, o);
  Pools pools(labels);
  auto positive = std::llround(static_cast<double>(count) * o.positive), hard = std::llround(static_cast<double>(positive) * o.hard);
  std::vector<Bag> bags;
  for (int64_t place : data::random_order(count, g))
    bags.push_back(filled(place < hard ? BagKind::hard : place < positive ? BagKind::easy : BagKind::negative, rows, pools, o, g));
  return bags;
}

}  // namespace plumb::methods::mhim_mil

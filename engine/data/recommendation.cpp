// The generated catalogue: hidden types, features that tell of them, popularity by a power law.
#include "engine/data/recommendation.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <unordered_set>

#include "engine/core/error.h"
#include "engine/core/generator.h"
#include "engine/data/dataset.h"

namespace plumb::data {
namespace {

int64_t below(Generator& g, int64_t n) { return static_cast<int64_t>(g.next_below(static_cast<uint64_t>(n))); }

void check(const PowerLawOptions& o) {
  auto at_least = [](const char* what, int64_t value, int64_t least) {
    if (value < least) throw ValueError(fmt::format("power_law_catalogue: {} must be at least {}, it is {}", what, least, value));
  };
  at_least("items", o.items, 1);
  at_least("users", o.users, 1);
  at_least("types", o.types, 3);
  at_least("test", o.test, 0);
  at_least("groups", o.groups, 0);
  at_least("in_group", o.in_group, 1);
  at_least("cardinality", o.cardinality, 1);
  at_least("tags", o.tags, 0);
  if (o.taken <= o.test || 2 * o.taken > o.items)
    throw ValueError(
        fmt::format("power_law_catalogue: users take {} different items of {}, {} of them for the test; take more than the test "
                    "and at most half of the items",
                    o.taken, o.items, o.test));
  if (!(o.keep >= 0 && o.keep <= 1) || !(o.other > 0 && o.other <= 1))
    throw ValueError(fmt::format("power_law_catalogue: keep must lie in [0, 1], other in (0, 1], they are {} and {}", o.keep, o.other));
  if (!(o.exponent >= 0 && std::isfinite(o.exponent)))
    throw ValueError(fmt::format("power_law_catalogue: the exponent must not be negative, it is {}", o.exponent));
}

std::vector<int64_t> random_map(int64_t from, int64_t to, Generator& g) {
  std::vector<int64_t> map(static_cast<size_t>(from));
  for (int64_t& v : map) v = below(g, to);
  return map;
}

/// `clean`, or with probability 1 − keep any of the values.
int64_t noisy(int64_t clean, int64_t values, double keep, Generator& g) { return g.next_double() < keep ? clean : below(g, values); }

void add_group(RecommendationSet& set, int64_t group, const std::vector<int64_t>& type, const PowerLawOptions& o, Generator& g) {
  std::vector<int64_t> first = random_map(o.types, o.cardinality, g);
  for (int64_t k = 0; k < o.in_group; ++k) {
    std::vector<int64_t> map = k == 0 ? std::vector<int64_t>{} : random_map(o.cardinality, o.cardinality, g);
    ItemFeature f{fmt::format("group {} feature {}", group + 1, k + 1), o.cardinality, {}, {}};
    for (int64_t t : type) {
      int64_t clean = first[static_cast<size_t>(t)];
      f.values.push_back(noisy(k == 0 ? clean : map[static_cast<size_t>(clean)], o.cardinality, o.keep, g));
    }
    set.features.push_back(std::move(f));
  }
}

void add_tags(RecommendationSet& set, const std::vector<int64_t>& type, const PowerLawOptions& o, Generator& g) {
  std::vector<int64_t> tags = random_map(3 * o.types, o.tags, g);
  ItemFeature f{"tags", o.tags, {}, {0}};
  for (int64_t t : type) {
    std::vector<int64_t> own;
    for (int64_t k = 0, count = 1 + below(g, 3); k < count; ++k) {
      int64_t tag = noisy(tags[static_cast<size_t>(3 * t + k)], o.tags, o.keep, g);
      if (std::find(own.begin(), own.end(), tag) == own.end()) own.push_back(tag);
    }
    f.values.insert(f.values.end(), own.begin(), own.end());
    f.offsets.push_back(static_cast<int64_t>(f.values.size()));
  }
  set.features.push_back(std::move(f));
}

/// Items of one type, and the running sums of their popularity.
struct TypeItems {
  std::vector<int64_t> item;
  std::vector<double> sum;
  double total() const { return sum.empty() ? 0 : sum.back(); }
};

std::vector<TypeItems> items_by_type(const std::vector<int64_t>& type, const PowerLawOptions& o, Generator& g) {
  std::vector<TypeItems> of(static_cast<size_t>(o.types));
  std::vector<int64_t> order = random_order(o.items, g);
  for (size_t r = 0; r < order.size(); ++r) {
    TypeItems& t = of[static_cast<size_t>(type[static_cast<size_t>(order[r])])];
    t.sum.push_back(t.total() + std::pow(static_cast<double>(r + 1), -o.exponent));
    t.item.push_back(order[r]);
  }
  return of;
}

size_t place_of(const std::vector<double>& sums, double at) {
  auto found = std::upper_bound(sums.begin(), sums.end(), at);
  return std::min(static_cast<size_t>(found - sums.begin()), sums.size() - 1);
}

std::vector<int64_t> items_of_user(const std::vector<TypeItems>& of, const PowerLawOptions& o, Generator& g) {
  std::vector<double> weight(of.size(), o.other), sums;
  for (int64_t wanted = 2 + below(g, 2), liked = 0; liked < wanted;) {
    double& w = weight[static_cast<size_t>(below(g, o.types))];
    if (w == 1 && o.other < 1) continue;
    w = 1;
    ++liked;
  }
  double total = 0;
  for (size_t t = 0; t < of.size(); ++t) sums.push_back(total += weight[t] * of[t].total());
  std::vector<int64_t> taken;
  std::unordered_set<int64_t> known;
  while (static_cast<int64_t>(taken.size()) < o.taken) {
    const TypeItems& t = of[place_of(sums, g.next_double() * total)];
    if (t.item.empty()) continue;
    int64_t item = t.item[place_of(t.sum, g.next_double() * t.total())];
    if (known.insert(item).second) taken.push_back(item);
  }
  return taken;
}

}  // namespace

std::vector<int64_t> RecommendationSet::counts() const {
  std::vector<int64_t> count(static_cast<size_t>(items));
  for (const auto& taken : train)
    for (int64_t item : taken) ++count[static_cast<size_t>(item)];
  return count;
}

RecommendationSet power_law_catalogue(const PowerLawOptions& o, uint64_t seed) {
  check(o);
  Generator g(seed);
  RecommendationSet set{"power-law catalogue", o.items, {}, {}, {}};
  std::vector<int64_t> type = random_map(o.items, o.types, g);
  for (int64_t k = 0; k < o.groups; ++k) add_group(set, k, type, o, g);
  if (o.tags > 0) add_tags(set, type, o, g);
  std::vector<TypeItems> of = items_by_type(type, o, g);
  for (int64_t u = 0; u < o.users; ++u) {
    std::vector<int64_t> taken = items_of_user(of, o, g);
    set.train.emplace_back(taken.begin(), taken.end() - o.test);
    set.test.emplace_back(taken.end() - o.test, taken.end());
  }
  return set;
}

}  // namespace plumb::data

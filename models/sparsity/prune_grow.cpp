// Pruning and growth on the host, by sorting places; exact counts, ties by place.
#include "models/sparsity/prune_grow.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <vector>

#include "engine/data/dataset.h"

namespace plumb::sparsity {
namespace {

using Places = std::vector<int64_t>;

void check_shape(const char* what, const Tensor& mask, const Tensor& x) {
  if (x.shape() != mask.shape())
    throw ShapeError(fmt::format("sparsity: a mask {} and {} {}", to_string(mask.shape()), what, to_string(x.shape())));
}

template <typename Rule, size_t N>
Rule named(const char* what, const std::array<std::pair<const char*, Rule>, N>& rules, const std::string& name) {
  std::string all;
  for (size_t i = 0; i < N; ++i) {
    if (name == rules[i].first) return rules[i].second;
    all += fmt::format("{}{}", i == 0 ? "" : i + 1 == N ? " or " : ", ", rules[i].first);
  }
  throw ConfigError(fmt::format("sparsity: the {} rule \"{}\" is unknown; choose {}", what, name, all));
}

std::vector<uint8_t> flags(const Tensor& mask) { return to_vector<uint8_t>(mask); }

Tensor as_mask(const std::vector<uint8_t>& set, const Shape& shape) {
  Tensor out = empty(shape, boolean);
  std::ranges::transform(set, out.data<bool>(), [](uint8_t s) { return s != 0; });
  return out;
}

// The first `count` places in the order of `less`, or all if there are fewer.
template <typename Less>
void keep_first(Places& places, int64_t count, Less&& less) {
  if (count >= static_cast<int64_t>(places.size())) return;
  std::nth_element(places.begin(), places.begin() + count, places.end(), less);
  places.resize(static_cast<size_t>(count));
}

auto smallest(const std::vector<double>& score) {
  return [&score](int64_t a, int64_t b) {
    double x = score[static_cast<size_t>(a)], y = score[static_cast<size_t>(b)];
    return x != y ? x < y : a < b;
  };
}

void keep_random(Places& places, int64_t count, Generator& generator) {
  Places chosen;
  Places order = data::random_order(static_cast<int64_t>(places.size()), generator);
  for (int64_t k = 0; k < std::min(count, static_cast<int64_t>(order.size())); ++k)
    chosen.push_back(places[static_cast<size_t>(order[static_cast<size_t>(k)])]);
  places = std::move(chosen);
}

Places grown_unfired(const Places& free, int64_t count, const Tensor& fired, Generator& generator) {
  std::vector<uint8_t> was = flags(fired);
  Places fresh, others;
  for (int64_t i : free) (was[static_cast<size_t>(i)] ? others : fresh).push_back(i);
  int64_t missing = count - static_cast<int64_t>(fresh.size());
  if (missing <= 0) {
    keep_random(fresh, count, generator);
    return fresh;
  }
  keep_random(others, missing, generator);
  fresh.insert(fresh.end(), others.begin(), others.end());
  return fresh;
}

}  // namespace

PruneRule prune_rule_named(const std::string& name) {
  static constexpr std::array<std::pair<const char*, PruneRule>, 3> rules{
      {{"magnitude", PruneRule::magnitude}, {"set", PruneRule::set}, {"taylor", PruneRule::taylor}}};
  return named("prune", rules, name);
}

GrowthRule growth_rule_named(const std::string& name) {
  static constexpr std::array<std::pair<const char*, GrowthRule>, 4> rules{{{"random", GrowthRule::random},
                                                                            {"unfired", GrowthRule::unfired},
                                                                            {"gradient", GrowthRule::gradient},
                                                                            {"momentum", GrowthRule::momentum}}};
  return named("growth", rules, name);
}

Pruned prune(const Tensor& mask, const Tensor& weight, double rate, PruneRule rule, const Tensor& gradient) {
  check_shape("weights", mask, weight);
  if (!(rate >= 0 && rate <= 1)) throw ValueError(fmt::format("sparsity: the rate of pruning must lie in [0, 1], it is {}", rate));
  std::vector<uint8_t> active = flags(mask);
  std::vector<double> w = to_vector(weight), score(w.size());
  if (rule == PruneRule::taylor) {
    if (!gradient.defined()) throw ValueError("sparsity: pruning by Taylor's rule needs a gradient");
    check_shape("a gradient", mask, gradient);
    std::vector<double> g = to_vector(gradient);
    for (size_t i = 0; i < w.size(); ++i) score[i] = w[i] * g[i] * w[i] * g[i];
  } else {
    for (size_t i = 0; i < w.size(); ++i) score[i] = std::abs(w[i]);
  }
  Places places, negative;
  for (size_t i = 0; i < w.size(); ++i)
    if (active[i]) (rule == PruneRule::set && w[i] < 0 ? negative : places).push_back(static_cast<int64_t>(i));
  auto count = static_cast<int64_t>(std::ceil(rate * static_cast<double>(places.size() + negative.size())));
  if (rule == PruneRule::set) {
    count = (count + 1) / 2;
    keep_first(negative, count, smallest(score));
  }
  keep_first(places, count, smallest(score));
  places.insert(places.end(), negative.begin(), negative.end());
  for (int64_t i : places) active[static_cast<size_t>(i)] = 0;
  return {as_mask(active, mask.shape()), static_cast<int64_t>(places.size())};
}

Tensor grow(const Tensor& mask, int64_t count, GrowthRule rule, const GrowthEvidence& evidence, Generator& generator) {
  std::vector<uint8_t> active = flags(mask);
  Places free;
  for (size_t i = 0; i < active.size(); ++i)
    if (!active[i]) free.push_back(static_cast<int64_t>(i));
  if (count < 0 || count > static_cast<int64_t>(free.size()))
    throw ValueError(fmt::format("sparsity: {} weights cannot join a mask with {} free places", count, free.size()));
  bool by_score = rule == GrowthRule::gradient || rule == GrowthRule::momentum;
  if (by_score && !evidence.score.defined())
    throw ValueError(rule == GrowthRule::gradient ? "sparsity: growth by gradient needs a gradient"
                                                  : "sparsity: growth by momentum needs an optimiser with momentum");
  if (rule == GrowthRule::unfired && !evidence.fired.defined())
    throw ValueError("sparsity: growth of unfired weights needs to know which have been active");
  if (rule == GrowthRule::random) keep_random(free, count, generator);
  if (rule == GrowthRule::unfired) {
    check_shape("places that fired", mask, evidence.fired);
    free = grown_unfired(free, count, evidence.fired, generator);
  }
  if (by_score) {
    check_shape("scores", mask, evidence.score);
    std::vector<double> score = to_vector(evidence.score);
    std::vector<uint8_t> frozen(score.size());
    if (evidence.frozen.defined()) check_shape("frozen places", mask, evidence.frozen), frozen = flags(evidence.frozen);
    keep_first(free, count, [&](int64_t a, int64_t b) {
      auto i = static_cast<size_t>(a), j = static_cast<size_t>(b);
      double x = std::abs(score[i]), y = std::abs(score[j]);
      if (x != y) return x > y;
      return frozen[i] != frozen[j] ? frozen[i] < frozen[j] : a < b;
    });
  }
  for (int64_t i : free) active[static_cast<size_t>(i)] = 1;
  return as_mask(active, mask.shape());
}

double death_rate(int64_t step, int64_t steps, double first, double least) {
  if (!(least >= 0 && least <= first && first <= 1))
    throw ValueError(fmt::format("sparsity: death rates must have 0 <= least <= first <= 1, they are {} and {}", least, first));
  if (steps < 1) throw ValueError(fmt::format("sparsity: a death rate over {} steps", steps));
  double share = std::min(1.0, static_cast<double>(step) / static_cast<double>(steps));
  return least + 0.5 * (first - least) * (1 + std::cos(std::numbers::pi * share));
}

}  // namespace plumb::sparsity

// Choosing instances by their scores, and the three masks put together.
#include "methods/representation/mhim_mil/instance_masker.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>

#include "engine/data/dataset.h"

namespace plumb::methods::mhim_mil {
namespace {

void check_share(const char* what, double share) {
  if (!(share >= 0 && share < 1)) throw ValueError(fmt::format("mhim_mil: {} must lie in [0, 1), it is {:g}", what, share));
}

void check_random_ratio(double rr) {
  if (!(rr > 0 && rr <= 1)) throw ValueError(fmt::format("mhim_mil: rr must lie in (0, 1], it is {:g}", rr));
}

// One row a head.
std::vector<std::vector<double>> rows_of(const Tensor& scores) {
  if (scores.rank() != 1 && scores.rank() != 2)
    throw ShapeError("mhim_mil: scores are to be [N] or [heads, N], got " + to_string(scores.shape()));
  int64_t n = scores.size(-1);
  if (n == 0) throw ValueError("mhim_mil: a bag has no instances");
  std::vector<double> all = to_vector(scores);
  for (size_t i = 0; i < all.size(); ++i)
    if (!std::isfinite(all[i]))
      throw ValueError(fmt::format("mhim_mil: the score of instance {} is {:g}", i % static_cast<size_t>(n), all[i]));
  std::vector<std::vector<double>> rows;
  for (auto from = all.begin(); from != all.end(); from += n) rows.emplace_back(from, from + n);
  return rows;
}

// The first k places in the order of their values, of equal ones the lower place.
std::vector<int64_t> first_places(const std::vector<double>& values, bool largest, int64_t k) {
  std::vector<int64_t> places(values.size());
  std::iota(places.begin(), places.end(), int64_t{0});
  auto at = [&](int64_t i) { return values[static_cast<size_t>(i)]; };
  std::stable_sort(places.begin(), places.end(), [&](int64_t a, int64_t b) { return largest ? at(a) > at(b) : at(a) < at(b); });
  places.resize(static_cast<size_t>(k));
  return places;
}

std::vector<int64_t> fused(const std::vector<std::vector<double>>& heads, bool largest, int64_t k, Fusion fusion) {
  if (heads.size() == 1) return first_places(heads[0], largest, k);
  std::vector<double> joint(heads[0].size(), 0);
  for (const auto& head : heads) {
    if (fusion == Fusion::vote)
      for (int64_t place : first_places(head, largest, k)) joint[static_cast<size_t>(place)] += 1;
    else
      for (size_t i = 0; i < joint.size(); ++i) joint[i] += head[i];
  }
  return first_places(joint, fusion == Fusion::vote || largest, k);
}

// `count` of them, drawn without replacement.
std::vector<int64_t> subset(const std::vector<int64_t>& places, int64_t count, Generator& g) {
  std::vector<int64_t> order = data::random_order(static_cast<int64_t>(places.size()), g), chosen;
  for (int64_t i = 0; i < count; ++i) chosen.push_back(places[static_cast<size_t>(order[static_cast<size_t>(i)])]);
  return chosen;
}

std::vector<int64_t> pick_rows(const std::vector<std::vector<double>>& heads, const PickOptions& o, Generator& g) {
  auto n = static_cast<double>(heads[0].size());
  double share = o.ratio / o.random_ratio, rr = o.random_ratio;
  if (share > 1) share = 1, rr = o.ratio;
  int64_t k = count_of(n * share);
  std::vector<int64_t> places = fused(heads, o.largest, k, o.fusion);
  return rr < 1 ? subset(places, count_of(static_cast<double>(k) * rr), g) : places;
}

}  // namespace

int64_t count_of(double x) { return static_cast<int64_t>(std::ceil(x - 1e-9)); }

std::vector<int64_t> pick(const Tensor& scores, const PickOptions& o, Generator& g) {
  check_share("a ratio", o.ratio);
  check_random_ratio(o.random_ratio);
  return pick_rows(rows_of(scores), o, g);
}

void MaskOptions::check() const {
  check_share("beta_h", beta_h);
  check_share("beta_l", beta_l);
  check_share("beta_r", beta_r);
  check_random_ratio(rr);
}

InstanceMasker::InstanceMasker(const MaskOptions& options) : options_((options.check(), options)) {}

double InstanceMasker::high_ratio(double progress) const {
  return options_.decay ? options_.beta_h / 2 * (1 + std::cos(std::numbers::pi * progress)) : options_.beta_h;
}

InstanceSplit InstanceMasker::select(const Tensor& attention, double progress, Generator& g) const {
  auto heads = rows_of(attention);
  auto n = static_cast<int64_t>(heads[0].size());
  std::vector<bool> hidden(static_cast<size_t>(n), false);
  auto hide = [&](const std::vector<int64_t>& places) {
    for (int64_t i : places) hidden[static_cast<size_t>(i)] = true;
  };
  std::vector<int64_t> all(static_cast<size_t>(n));
  std::iota(all.begin(), all.end(), int64_t{0});
  if (options_.beta_r > 0) hide(subset(all, count_of(static_cast<double>(n) * options_.beta_r), g));
  hide(pick_rows(heads, {.largest = false, .ratio = options_.beta_l, .random_ratio = 1, .fusion = options_.fusion}, g));
  double high = high_ratio(progress);
  if (high > 0) hide(pick_rows(heads, {.largest = true, .ratio = high, .random_ratio = options_.rr, .fusion = options_.fusion}, g));
  InstanceSplit split;
  for (int64_t i = 0; i < n; ++i) (hidden[static_cast<size_t>(i)] ? split.hidden : split.kept).push_back(i);
  if (split.kept.empty()) throw ValueError(fmt::format("mhim_mil: the masks hide all {} instances of a bag", n));
  return split;
}

}  // namespace plumb::methods::mhim_mil

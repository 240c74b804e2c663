// Group by group without replacement.
#include "engine/data/mixture.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "engine/core/error.h"
#include "engine/data/dataset.h"

namespace plumb::data {

void check_mixture(const std::vector<double>& p, int64_t groups) {
  if (static_cast<int64_t>(p.size()) != groups) throw ValueError(fmt::format("mixture: {} shares for {} groups", p.size(), groups));
  for (size_t i = 0; i < p.size(); ++i)
    if (!(p[i] >= 0) || !std::isfinite(p[i]))
      throw ValueError(fmt::format("mixture: shares must be finite and not negative, that of group {} is {}", i, p[i]));
  double sum = std::accumulate(p.begin(), p.end(), 0.0);
  if (sum == 0) throw ValueError("mixture: all shares are 0");
  if (std::abs(sum - 1) > 1e-6) throw ValueError(fmt::format("mixture: the shares must sum to 1, they sum to {}", sum));
}

std::vector<int64_t> mixture_counts(const std::vector<double>& q, int64_t batch) {
  auto groups = static_cast<int64_t>(q.size());
  check_mixture(q, groups);
  std::vector<int64_t> counts(q.size(), 0);
  auto all = std::find(q.begin(), q.end(), 1.0);
  if (all != q.end()) {
    counts[static_cast<size_t>(all - q.begin())] = batch;
    return counts;
  }
  int64_t rest = batch;
  for (size_t i = 0; i + 1 < q.size(); ++i) {
    // A product that is a whole number but for its rounding counts as that number.
    counts[i] = std::max<int64_t>(1, static_cast<int64_t>(std::floor(q[i] * static_cast<double>(batch) + 1e-9)));
    rest -= counts[i];
  }
  if (rest < 1) throw ValueError(fmt::format("mixture: a batch of {} leaves no example for the last of {} groups", batch, groups));
  counts.back() = rest;
  return counts;
}

MixtureSampler::MixtureSampler(const std::vector<int64_t>& sizes, Generator generator) : generator_(generator) {
  if (sizes.empty()) throw ValueError("mixture: there are no groups");
  for (size_t i = 0; i < sizes.size(); ++i) {
    if (sizes[i] < 1) throw ValueError(fmt::format("mixture: group {} has no examples", i));
    pools_.push_back({sizes[i], {}, 0});
  }
  p_.assign(sizes.size(), 1.0 / static_cast<double>(sizes.size()));
}

void MixtureSampler::set_proportions(const std::vector<double>& p) {
  check_mixture(p, groups());
  p_ = p;
}

MixturePick MixtureSampler::pick(int64_t group) {
  Pool& pool = pools_[static_cast<size_t>(group)];
  if (pool.used == pool.order.size()) {
    pool.order = random_order(pool.size, generator_);
    pool.used = 0;
  }
  return {group, pool.order[pool.used++]};
}

std::vector<MixturePick> MixtureSampler::next_batch(int64_t count) {
  std::vector<MixturePick> out;
  for (int64_t n = 0; n < count; ++n) {
    double u = generator_.next_double(), reached = 0;
    int64_t group = -1;
    for (size_t i = 0; i < p_.size(); ++i) {
      if (p_[i] == 0) continue;
      group = static_cast<int64_t>(i);  // the last group with a share, should rounding leave the sum below u
      reached += p_[i];
      if (u < reached) break;
    }
    out.push_back(pick(group));
  }
  return out;
}

std::vector<MixturePick> MixtureSampler::exact_batch(const std::vector<int64_t>& counts) {
  if (static_cast<int64_t>(counts.size()) != groups())
    throw ValueError(fmt::format("mixture: {} counts for {} groups", counts.size(), groups()));
  for (size_t i = 0; i < counts.size(); ++i)
    if (counts[i] < 0) throw ValueError(fmt::format("mixture: group {} cannot give {} examples", i, counts[i]));
  std::vector<MixturePick> out;
  for (size_t i = 0; i < counts.size(); ++i)
    for (int64_t n = 0; n < counts[i]; ++n) out.push_back(pick(static_cast<int64_t>(i)));
  return out;
}

}  // namespace plumb::data

// Examples from several groups in proportions that may change while one trains: whole batches drawn, or of an exact composition.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "engine/core/generator.h"

namespace plumb::data {

/// Throws ValueError naming the first thing that is wrong with the shares p of `groups` groups: their number, a share that is negative or
/// not finite, all of them 0, a sum other than 1 (by more than 1e-6).
void check_mixture(const std::vector<double>& p, int64_t groups);

/// How many of `batch` examples each group gives for shares q: max(1, ⌊q_i · batch⌋), the rest to the last one; for a q that is 1 for one
/// group and 0 for the others, all to that group. Throws ValueError as check_mixture, and for a batch that leaves the last group none.
std::vector<int64_t> mixture_counts(const std::vector<double>& q, int64_t batch);

struct MixturePick {
  int64_t group, index;  ///< index: the example's place in its group
  bool operator==(const MixturePick&) const = default;
};

/// Every group is gone through in a random order of its own, and again in another one when it is used up.
class MixtureSampler {
 public:
  /// `sizes`: examples in each group. All groups have the same share at first. Throws ValueError for no groups or an empty one.
  MixtureSampler(const std::vector<int64_t>& sizes, Generator generator);

  int64_t groups() const { return static_cast<int64_t>(pools_.size()); }
  const std::vector<double>& proportions() const { return p_; }
  /// Throws as check_mixture; nothing is changed then.
  void set_proportions(const std::vector<double>& p);

  /// `count` examples, the group of each drawn by the proportions.
  std::vector<MixturePick> next_batch(int64_t count);
  /// counts[i] examples of group i, group by group. Throws ValueError for another number of counts or a negative one.
  std::vector<MixturePick> exact_batch(const std::vector<int64_t>& counts);

 private:
  struct Pool {
    int64_t size;
    std::vector<int64_t> order;
    size_t used = 0;
  };
  MixturePick pick(int64_t group);

  std::vector<Pool> pools_;
  std::vector<double> p_;
  Generator generator_;
};

}  // namespace plumb::data

// Examples that a continual learner keeps, and batches with a share of them.
#pragma once
#include <map>

#include "methods/common/continual.h"

namespace plumb::methods {

/// At most `per_class` random examples of every class that came: the memory grows with the classes, as in the replay baselines of
/// continual benchmarks.
class RehearsalMemory {
 public:
  /// Throws ValueError for per_class < 1.
  explicit RehearsalMemory(int64_t per_class);
  /// Keeps some of these. A class that is there already (another domain's) shares its places evenly among the tasks it came with.
  void add(const ContinualExamples& examples, Generator& generator);
  /// `count` of them at random: without repeats if there are as many. Throws ValueError while there are none.
  ContinualExamples sample(int64_t count, Generator& generator) const;
  /// All that are kept, by class, then task; none at first.
  const ContinualExamples& all() const { return all_; }
  int64_t size() const { return all_.size(); }
  bool empty() const { return size() == 0; }

 private:
  int64_t per_class_;
  ContinualExamples all_;
  std::map<int64_t, std::map<int64_t, ContinualExamples>> kept_;  // by class and task
};

}  // namespace plumb::methods

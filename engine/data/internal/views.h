// Data sets that give another one's examples in another order: where each example is found, and nothing else.
#pragma once
#include "engine/data/source.h"

namespace plumb::data {

/// Base of the views: example `at` is the child's example locate(at).
class View : public Source {
 public:
  explicit View(SourcePtr child) : child_(std::move(child)) {}
  virtual Pick locate(const Pick& pick) const = 0;

  Sample get(const Pick& pick) const override { return child_->get(locate(pick)); }
  Batch gather(std::span<const Pick> picks, const Padding& padding) const override;
  int64_t label(int64_t at) const override;
  int64_t index_limit() const override { return child_->index_limit(); }
  uint64_t transforms() const override { return child_->transforms(); }
  std::vector<SourceHash> source_hashes() const override { return child_->source_hashes(); }

 protected:
  const Source& child() const { return *child_; }

 private:
  SourcePtr child_;
};

SourcePtr subset_view(SourcePtr child, std::vector<int64_t> places);
/// The child's examples begin, begin + step, …, `count` of them.
SourcePtr range_view(SourcePtr child, int64_t begin, int64_t step, int64_t count);
SourcePtr repeat_view(SourcePtr child, int64_t times);
SourcePtr shuffle_view(SourcePtr child, uint64_t seed);
SourcePtr weighted_view(SourcePtr child, std::vector<double> weights, int64_t count, bool replacement, uint64_t seed);
SourcePtr class_balanced_view(SourcePtr child, int64_t count, uint64_t seed);

}  // namespace plumb::data

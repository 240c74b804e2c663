// From a step to the examples it reads.
#include "engine/data/step_batches.h"

#include <fmt/format.h>

#include "engine/core/error.h"

namespace plumb::data {

StepBatches::StepBatches(Dataset dataset, StepBatchOptions options) : dataset_(std::move(dataset)), options_(options) {
  if (dataset_.size() == 0) throw ValueError("batches: the data set is empty");
  if (options.batch < 1) throw ValueError(fmt::format("batches: {} examples a batch", options.batch));
}

Batch StepBatches::operator()(int64_t step) { return (*this)(step, 0, 1); }

Batch StepBatches::operator()(int64_t step, int64_t part, int64_t parts) {
  if (step < 0) throw IndexError(fmt::format("batches: there is no step {}", step));
  if (parts < 1 || options_.batch % parts != 0) throw ValueError(fmt::format("batches: {} parts do not divide a batch of {}", parts, options_.batch));
  if (part < 0 || part >= parts) throw IndexError(fmt::format("batches: part {} is outside [0, {})", part, parts));
  int64_t size = options_.batch / parts, first = step * options_.batch + part * size;
  std::vector<Pick> picks;
  for (int64_t at = first; at < first + size; ++at) {
    int64_t epoch = at / dataset_.size();
    if (epoch != epoch_) {
      Generator generator(mix(mix(options_.seed, 0x6f72646572), static_cast<uint64_t>(epoch)));
      order_ = random_order(dataset_.size(), generator);
      epoch_ = epoch;
    }
    picks.push_back({order_[static_cast<size_t>(at % dataset_.size())], {.seed = options_.seed, .epoch = epoch}});
  }
  return dataset_.source()->gather(picks, {});
}

}  // namespace plumb::data

// From a step to the examples it reads.
#include "engine/data/step_batches.h"

#include <fmt/format.h>

#include "engine/core/error.h"
#include "engine/data/internal/prefetch.h"
#include "engine/data/internal/upload.h"

namespace plumb::data {

// Parts of steps in order, made by a thread of their own; number n is part n mod parts of step n / parts.
struct StepBatches::Ahead {
  Ahead(StepBatches& batches, int64_t first, int64_t parts)
      : parts(parts), made([&batches, parts](int64_t n) { return batches.make(n / parts, n % parts, parts); }, first, 1, 2) {}

  std::unique_ptr<Upload> upload(Device device) {
    int64_t number = made.next();
    try {
      return std::make_unique<Upload>(number, made.pop(), device);
    } catch (...) { return std::make_unique<Upload>(number, std::current_exception()); }
  }

  int64_t parts;
  Prefetcher made;
  std::unique_ptr<Upload> coming, leaving;  // as in DataLoader
};

StepBatches::~StepBatches() = default;

StepBatches::StepBatches(Dataset dataset, StepBatchOptions options) : dataset_(std::move(dataset)), options_(options) {
  if (dataset_.size() == 0) throw ValueError("batches: the data set is empty");
  if (options.batch < 1) throw ValueError(fmt::format("batches: the batch size must be at least 1, it is {}", options.batch));
}

Batch StepBatches::operator()(int64_t step) { return (*this)(step, 0, 1); }

Batch StepBatches::operator()(int64_t step, int64_t part, int64_t parts) {
  if (step < 0) throw IndexError(fmt::format("batches: there is no step {}", step));
  if (parts < 1 || options_.batch % parts != 0)
    throw ValueError(fmt::format("batches: {} parts do not divide a batch of {}", parts, options_.batch));
  if (part < 0 || part >= parts) throw IndexError(fmt::format("batches: part {} is outside [0, {})", part, parts));
  if (options_.device.type == DeviceType::cpu) return make(step, part, parts);
  int64_t number = step * parts + part;
  if (!ahead_ || ahead_->parts != parts || ahead_->coming->number() != number) {
    ahead_.reset();  // its thread has ended before the next one begins
    ahead_ = std::make_unique<Ahead>(*this, number, parts);
    ahead_->coming = ahead_->upload(options_.device);
  }
  std::unique_ptr<Upload> own = std::move(ahead_->coming);
  ahead_->coming = ahead_->upload(options_.device);
  Batch batch = own->finish();
  ahead_->leaving = std::move(own);
  return batch;
}

Batch StepBatches::make(int64_t step, int64_t part, int64_t parts) {
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

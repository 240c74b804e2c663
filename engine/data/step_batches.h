// Training batches by the number of their step: what a resumed run needs no state for.
#pragma once
#include <memory>

#include "engine/data/dataset.h"

namespace plumb::data {

struct StepBatchOptions {
  int64_t batch = 32;
  uint64_t seed = 0;   ///< of orders and of random transforms
  Device device =
      {};  ///< where batches are handed out; for a GPU a thread makes the next one, which is copied while the GPU works on this one
};

/// Endless batches of `batch` examples: epoch after epoch in a new random order, without a gap between epochs, so that every batch is full.
/// Step s takes the places [s·B, (s + 1)·B) of that sequence; what it reads depends on (data set, seed, s) alone.
/// Belongs to one thread at a time.
class StepBatches {
 public:
  /// Throws ValueError for an empty data set or a batch below 1.
  StepBatches(Dataset dataset, StepBatchOptions options);
  ~StepBatches();
  /// Batch number `step`. Throws IndexError for step < 0.
  Batch operator()(int64_t step);
  /// Part `part` of `parts` equal ones of batch `step`, in order. Throws ValueError unless parts divide the batch, IndexError outside them.
  Batch operator()(int64_t step, int64_t part, int64_t parts);
  const StepBatchOptions& options() const { return options_; }

 private:
  struct Ahead;
  Batch make(int64_t step, int64_t part, int64_t parts);

  Dataset dataset_;
  StepBatchOptions options_;
  int64_t epoch_ = -1;          // the epoch whose order is kept
  std::vector<int64_t> order_;
  std::unique_ptr<Ahead> ahead_;  // for a device: what comes next
};

}  // namespace plumb::data

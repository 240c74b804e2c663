// Training batches by the number of their step: what a resumed run needs no state for.
#pragma once
#include "engine/data/dataset.h"

namespace plumb::data {

struct StepBatchOptions {
  int64_t batch = 32;
  uint64_t seed = 0;  ///< of orders and of random transforms
};

/// Endless batches of `batch` examples: epoch after epoch in a new random order, without a gap between epochs, so that every batch is full.
/// Step s takes the places [s·B, (s + 1)·B) of that sequence; what it reads depends on (data set, seed, s) alone.
/// Belongs to one thread at a time.
class StepBatches {
 public:
  /// Throws ValueError for an empty data set or a batch below 1.
  StepBatches(Dataset dataset, StepBatchOptions options);
  /// Batch number `step`. Throws IndexError for step < 0.
  Batch operator()(int64_t step);
  /// Part `part` of `parts` equal ones of batch `step`, in order. Throws ValueError unless parts divide the batch, IndexError outside them.
  Batch operator()(int64_t step, int64_t part, int64_t parts);
  const StepBatchOptions& options() const { return options_; }

 private:
  Dataset dataset_;
  StepBatchOptions options_;
  int64_t epoch_ = -1;          // the epoch whose order is kept
  std::vector<int64_t> order_;
};

}  // namespace plumb::data

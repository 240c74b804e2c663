// DataLoader: batches of a data set, made ahead of time by worker threads, in an order that can be resumed exactly.
#pragma once
#include <functional>
#include <memory>

#include "engine/data/source.h"

namespace plumb::data {

class Dataset;

struct BatchOptions {
  bool drop_last = false;                             ///< leave out a last batch that is not full
  int workers = 0;                                    ///< threads that make batches ahead; 0: each is made when it is asked for
  int prefetch = 2;                                   ///< batches that each worker may be ahead
  uint64_t seed = 0;                                  ///< of random transforms
  Device device = {};  ///< where batches are handed out; to a GPU the next one is copied while it works on this one
  Padding pad;                                        ///< fields that differ in shape: {{"boxes", 0}}; see stack()
  std::function<Batch(std::vector<Sample>)> collate;  ///< makes the batch in place of stack()
  std::function<Batch(Batch, Generator&)> transform;  ///< changes the finished batch (mixup); the generator depends on (seed, batch) alone
};

/// Where a loader is: plain numbers, to be stored in a checkpoint.
struct LoaderState {
  int64_t epoch = 0;
  int64_t position = 0;  ///< batches of this epoch that were handed out
  uint64_t seed = 0;     ///< of random transforms
  uint64_t order = 0;    ///< fingerprint of the data set, its order and the batch size
};

/// Batches in a fixed order: it depends on the data set and the seeds, never on the number of workers. An exception from the data set
/// is rethrown where its batch would have come; the place stays, so that asking again tries that batch again.
/// Belongs to one thread at a time.
class DataLoader {
 public:
  /// As Dataset::batch.
  DataLoader(const Dataset& dataset, int64_t batch_size, BatchOptions options);
  DataLoader(DataLoader&&) noexcept;
  DataLoader& operator=(DataLoader&&) noexcept;
  ~DataLoader();

  /// Batches an epoch.
  int64_t size() const;
  /// The next batch, going on with the next epoch after the last one. Throws ValueError if an epoch has no batches.
  Batch next();

  LoaderState state() const;
  /// Goes to a saved place: what follows is what followed there. Throws ConfigError if data, order or batch size are others than those
  /// saved, ValueError for a place that does not exist.
  void set_state(const LoaderState& state);

  struct End {};
  class Iterator {
   public:
    const Batch& operator*() const { return batch_; }
    const Batch* operator->() const { return &batch_; }
    Iterator& operator++();
    bool operator==(End) const { return done_; }

   private:
    friend class DataLoader;
    Iterator(DataLoader* loader, int64_t last) : loader_(loader), last_(last) { ++*this; }
    DataLoader* loader_;
    int64_t last_;
    Batch batch_;
    bool done_ = false;
  };
  /// One epoch from its first batch; after set_state(), the rest of the epoch that was saved. An epoch that was left half-way is over:
  /// the next one begins.
  Iterator begin();
  End end() const { return {}; }

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace plumb::data

// The loader's place in the sequence of batches: a single number, counted through all epochs.
#include "engine/data/loader.h"

#include <fmt/format.h>

#include "engine/data/dataset.h"
#include "engine/data/internal/prefetch.h"
#include "engine/data/internal/upload.h"

namespace plumb::data {

struct DataLoader::Impl {
  SourcePtr source;
  int64_t batch_size = 1;
  BatchOptions options;
  int64_t batches = 0;   ///< an epoch
  int64_t next = 0;      ///< number of the next batch: epoch · batches + position
  bool resumed = false;  ///< set_state() came last: the epoch goes on
  std::unique_ptr<Prefetcher> prefetcher;
  std::unique_ptr<Upload> coming, leaving;  ///< to a device: the batch after the one that was handed out last, and that one

  uint64_t order() const { return mix(mix(source->fingerprint(), static_cast<uint64_t>(batch_size)), options.drop_last); }
  int64_t epoch_of(int64_t number) const { return batches == 0 ? 0 : number / batches; }

  Batch make(int64_t number) const {
    Draw draw{options.seed, epoch_of(number), 0};
    int64_t begin = number % batches * batch_size, end = std::min(begin + batch_size, source->size());
    std::vector<Pick> picks;
    for (int64_t at = begin; at < end; ++at) picks.push_back({at, draw});
    Batch batch = options.collate ? options.collate(examples(picks)) : source->gather(picks, options.pad);
    if (!options.transform) return batch;
    Generator generator(mix(mix(options.seed, 0x6261746368), static_cast<uint64_t>(number)));
    return options.transform(std::move(batch), generator);
  }

  std::vector<Sample> examples(const std::vector<Pick>& picks) const {
    std::vector<Sample> samples;
    for (const Pick& pick : picks) samples.push_back(source->get(pick));
    return samples;
  }

  Batch fetch() {
    if (batches == 0)
      throw ValueError(fmt::format("batch: an epoch has no batches: {} examples, {} a batch{}", source->size(), batch_size,
                                   options.drop_last ? ", the last left out if it is not full" : ""));
    Batch batch = options.device.type == DeviceType::cpu ? on_cpu(next) : on_device();
    ++next;
    resumed = false;
    return batch;
  }

  Batch on_cpu(int64_t number) {
    if (options.workers == 0) return make(number);
    if (prefetcher && prefetcher->next() != number) prefetcher.reset();
    if (!prefetcher)
      prefetcher = std::make_unique<Prefetcher>([this](int64_t n) { return make(n); }, number, options.workers,
                                                int64_t{options.workers} * options.prefetch);
    return prefetcher->pop();
  }

  std::unique_ptr<Upload> upload(int64_t number) {
    try {
      return std::make_unique<Upload>(number, on_cpu(number), options.device);
    } catch (...) { return std::make_unique<Upload>(number, std::current_exception()); }
  }

  // The copy of the batch after this one begins before the device is given this one to work on: it waits for the work on earlier ones
  // alone, whose memory it may take.
  Batch on_device() {
    std::unique_ptr<Upload> own = coming && coming->number() == next ? std::move(coming) : upload(next);
    coming.reset();
    Batch batch = own->finish();
    leaving = std::move(own);  // its pinned memory is read until the copy is done
    coming = upload(next + 1);
    return batch;
  }
};

DataLoader::DataLoader(const Dataset& dataset, int64_t batch_size, BatchOptions options) : impl_(std::make_unique<Impl>()) {
  if (batch_size < 1) throw ValueError(fmt::format("batch: the batch size must be at least 1, it is {}", batch_size));
  if (options.workers < 0) throw ValueError(fmt::format("batch: the number of workers must not be negative, it is {}", options.workers));
  if (options.prefetch < 1) throw ValueError(fmt::format("batch: prefetch must be at least 1, it is {}", options.prefetch));
  impl_->source = dataset.source();
  impl_->batch_size = batch_size;
  impl_->batches = (dataset.size() + (options.drop_last ? 0 : batch_size - 1)) / batch_size;
  impl_->options = std::move(options);
}
DataLoader::DataLoader(DataLoader&&) noexcept = default;
DataLoader& DataLoader::operator=(DataLoader&&) noexcept = default;
DataLoader::~DataLoader() = default;

int64_t DataLoader::size() const { return impl_->batches; }
Batch DataLoader::next() { return impl_->fetch(); }

LoaderState DataLoader::state() const {
  int64_t epoch = impl_->epoch_of(impl_->next);
  return {epoch, impl_->next - epoch * impl_->batches, impl_->options.seed, impl_->order()};
}

void DataLoader::set_state(const LoaderState& state) {
  if (state.order != impl_->order())
    throw ConfigError(fmt::format(
        "loader: the saved place belongs to other data, another order or another batch size (fingerprint {:016x} there, {:016x} here)",
        state.order, impl_->order()));
  if (state.epoch < 0 || state.position < 0 || state.position >= std::max<int64_t>(impl_->batches, 1))
    throw ValueError(fmt::format("loader: there is no batch {} in epoch {}; an epoch has {}", state.position, state.epoch, impl_->batches));
  impl_->prefetcher.reset();
  impl_->coming.reset();
  impl_->options.seed = state.seed;
  impl_->next = state.epoch * impl_->batches + state.position;
  impl_->resumed = true;
}

DataLoader::Iterator DataLoader::begin() {
  int64_t n = impl_->batches;
  if (n == 0) return Iterator(this, 0);
  if (!impl_->resumed) impl_->next = (impl_->next + n - 1) / n * n;
  return Iterator(this, (impl_->next / n + 1) * n);
}

DataLoader::Iterator& DataLoader::Iterator::operator++() {
  if (loader_->impl_->next >= last_) {
    done_ = true;
    batch_ = {};
  } else {
    batch_ = loader_->next();
  }
  return *this;
}

}  // namespace plumb::data

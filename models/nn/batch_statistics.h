// Batch norm by the batch at hand alone: what adapting to new data at test time needs.
#pragma once
#include <utility>

namespace plumb::nn {

namespace detail {
inline thread_local bool batch_statistics = false;
}

/// While alive, every BatchNorm layer on this thread normalises by the mean and variance of its batch, in evaluation mode too, with
/// derivatives through both; running statistics are neither read nor written. Dropout and the like keep their own mode.
/// A channel then needs two elements or more (ValueError): no single example over maps of 1 × 1.
class BatchStatistics {
 public:
  explicit BatchStatistics(bool on = true) : before_(std::exchange(detail::batch_statistics, on)) {}
  ~BatchStatistics() { detail::batch_statistics = before_; }
  BatchStatistics(const BatchStatistics&) = delete;
  BatchStatistics& operator=(const BatchStatistics&) = delete;
  static bool on() { return detail::batch_statistics; }

 private:
  bool before_;
};

}  // namespace plumb::nn

// What training by several processes asks of them, whatever carries it: MPI between CPUs, NCCL between GPUs.
#pragma once
#include <functional>
#include <memory>
#include <vector>

#include "engine/core/error.h"
#include "engine/core/tensor.h"

namespace plumb::dist {

/// An exchange on its way. It keeps its tensors, which nobody may read or write before wait() has returned.
class Exchange {
 public:
  virtual ~Exchange() = default;
  /// Moves the exchange on, as far as it goes without waiting. MPI moves only what is asked after.
  virtual void poll() = 0;
  /// Returns when the result is there (on a GPU: for what the device is given from now on). Throws ProcessLost where a process is.
  virtual void wait() = 0;
};

/// An exchange that was over when it began: that of a process which is alone.
class NoExchange final : public Exchange {
 public:
  void poll() override {}
  void wait() override {}
};

/// A process that the others wait for does not answer any more.
class ProcessLost : public DeviceError {
  using DeviceError::DeviceError;
};

/// Elements handed to exchanges so far, in bytes: what counts in formulas of communication, before a transport's own overhead.
struct Traffic {
  int64_t all_reduced = 0, scattered = 0, gathered = 0;  ///< whole vectors: of reduce_scatter the input, of all_gather the output
};

/// A group of `size()` processes of which this one is `rank()`. All start the same exchanges in the same order, with contiguous tensors of
/// the same shapes and types. Sums have the same bits on every process.
/// Throw DTypeError for a type that the transport cannot add, ShapeError for tensors with gaps or that do not fit, DeviceError for tensors
/// of another device.
class Collectives {
 public:
  virtual ~Collectives() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;
  /// x ← Σ_r x_r.
  virtual std::unique_ptr<Exchange> start_all_reduce(Tensor x) = 0;
  /// part [n] ← elements [rank · n, (rank + 1) · n) of Σ_r whole_r, whole [size · n].
  virtual std::unique_ptr<Exchange> start_reduce_scatter(Tensor whole, Tensor part) = 0;
  /// whole [size · n] ← the processes' parts [n], one after the other.
  virtual std::unique_ptr<Exchange> start_all_gather(Tensor part, Tensor whole) = 0;
  /// to [Σ take, W] ← rows of the processes' from [Σ give, W], of any type: the first give[0] of `from` are for process 0, the next give[1]
  /// for process 1, …, and take[r] come from process r, in the order of processes. Returns when they are there (on a GPU: for what the
  /// device is given from now on).
  virtual void exchange_rows(const Tensor& from, const std::vector<int64_t>& give, Tensor to, const std::vector<int64_t>& take) = 0;
  const Traffic& traffic() const { return traffic_; }

 protected:
  Traffic traffic_;
};

namespace detail {
/// The bytes of a row; throws ShapeError where exchange_rows is given what does not fit.
size_t checked_row_bytes(const Collectives& processes, const Tensor& from, const std::vector<int64_t>& give, const Tensor& to,
                         const std::vector<int64_t>& take);
}  // namespace detail

}  // namespace plumb::dist

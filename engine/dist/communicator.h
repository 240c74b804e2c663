// Processes that work on one thing: who they are, and what they tell each other. Over MPI: engine/dist/mpi.h.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/dist/collectives.h"

namespace plumb::dist {

/// A group of `size()` processes of which this one is `rank()`. Every member must make the same calls in the same order. As it stands the
/// class is a group of one; transports derive from it.
class Communicator : public Collectives {
 public:
  int rank() const override { return 0; }
  int size() const override { return 1; }
  /// This process's place among those of its machine: which of several GPUs is its own.
  virtual int local_rank() const { return 0; }

  /// Returns when all have called it.
  virtual void barrier() {}
  /// What every rank gave, in the order of ranks, of any lengths.
  virtual std::vector<std::string> all_gather(std::string_view own) { return {std::string(own)}; }
  /// Gives to[r] to rank r, texts of any lengths; returns what every rank gave this one, in the order of ranks. Throws ValueError unless
  /// there is one text for each rank.
  std::vector<std::string> all_to_all(std::vector<std::string> to);
  /// x ← root's x on all: contiguous CPU tensors of one shape and type. Throws ValueError for a root outside [0, size), DeviceError for
  /// another device.
  void broadcast(Tensor& x, int root = 0);
  /// x ← Σ_r x_r on all, added in the order of ranks, so that the sum has the same bits in every run and on every rank. f32 or f64.
  /// Throws DTypeError for another type, ShapeError if another rank's shape differs.
  void all_reduce(Tensor& x);

  // Collectives, of CPU tensors: sums of f32 or f64.
  std::unique_ptr<Exchange> start_all_reduce(Tensor x) override;
  std::unique_ptr<Exchange> start_reduce_scatter(Tensor whole, Tensor part) override;
  std::unique_ptr<Exchange> start_all_gather(Tensor part, Tensor whole) override;
  void exchange_rows(const Tensor& from, const std::vector<int64_t>& give, Tensor to, const std::vector<int64_t>& take) override;

  /// How these processes exchange tensors of `device`: as above for the CPU, by NCCL between GPUs. There is one way for all who ask while
  /// any of them holds it, so that all exchanges have one order; who asks first makes it, which all processes do together. Throws
  /// DeviceError as join_device_communicator.
  std::shared_ptr<Collectives> collectives_on(Device device);

  /// Polled while this process waits for others; once it returns true, the wait throws ProcessLost.
  void give_up_when(std::function<bool()> given_up) { given_up_ = std::move(given_up); }
  /// Ends all processes with `status`: one that fails alone would leave the others waiting.
  [[noreturn]] virtual void abandon(int status);

 protected:
  bool given_up() const { return given_up_ && given_up_(); }

 private:
  virtual void broadcast_bytes(void* data, size_t bytes, int root);
  virtual std::vector<std::string> exchange(std::vector<std::string> to) { return to; }
  // As above, of tensors that were checked and counted.
  virtual std::unique_ptr<Exchange> begin_all_reduce(const Tensor& x);
  virtual std::unique_ptr<Exchange> begin_reduce_scatter(const Tensor& whole, const Tensor& part);
  virtual std::unique_ptr<Exchange> begin_all_gather(const Tensor& part, const Tensor& whole);

  std::function<bool()> given_up_;
  std::map<int, std::weak_ptr<Collectives>> between_gpus_;  // by this process's
};

}  // namespace plumb::dist

// Processes that work on one thing: who they are, and what they tell each other. Over MPI: engine/dist/mpi.h.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "engine/core/tensor.h"

namespace plumb::dist {

/// A group of `size()` processes of which this one is `rank()`. Every member must make the same calls in the same order. As it stands the
/// class is a group of one; transports derive from it.
class Communicator {
 public:
  virtual ~Communicator() = default;
  virtual int rank() const { return 0; }
  virtual int size() const { return 1; }

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

 private:
  virtual void broadcast_bytes(void* data, size_t bytes, int root);
  virtual std::vector<std::string> exchange(std::vector<std::string> to) { return to; }
};

}  // namespace plumb::dist

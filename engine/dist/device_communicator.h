// Processes that each have a GPU and exchange tensors between those.
#pragma once
#include <memory>
#include <string>

#include "engine/dist/collectives.h"

namespace plumb::dist {

enum class Reduction : uint8_t { sum, mean, maximum, minimum };

/// One process's place among `size()`. Every rank calls the same functions in the same order with tensors of the same shapes and types,
/// row-major and on the communicator's device. Nothing waits: results are there for what the device is given afterwards.
/// Belongs to one thread. All throw DeviceError for what the network or the library says, and for tensors of another device,
/// ShapeError for tensors that are not row-major or do not fit. What Collectives starts runs beside what the device is given meanwhile.
class DeviceCommunicator : public Collectives {
 public:
  virtual Device device() const = 0;

  /// x ← the reduction of all ranks' x, the same bits on each.
  virtual void all_reduce(Tensor& x, Reduction reduction = Reduction::sum) = 0;
  /// x ← rank `root`'s x.
  virtual void broadcast(Tensor& x, int root = 0) = 0;
  /// out [size · n, ..] ← the ranks' x [n, ..] one after the other.
  virtual void all_gather(const Tensor& x, Tensor& out) = 0;
  /// out [n, ..] ← rows [rank · n, (rank + 1) · n) of the reduction of all ranks' x [size · n, ..].
  virtual void reduce_scatter(const Tensor& x, Tensor& out, Reduction reduction = Reduction::sum) = 0;
  /// Returns when every rank has come here and its device has done all that it was given.
  virtual void barrier() = 0;
};

/// A name for a new communicator between GPUs, to be told to every rank by some other way (a file, MPI). Throws DeviceError without NCCL.
std::string new_device_communicator_id();
/// Joins the communicator of this name as `rank` of `size`, each rank with a GPU of its own; returns when all have joined. A single rank
/// needs no name, and can be on the CPU; with one it goes through the library all the same. Throws ValueError for a rank outside [0, size),
/// DeviceError where there is no such device or no NCCL.
std::unique_ptr<DeviceCommunicator> join_device_communicator(Device device, int rank, int size, const std::string& id);

namespace detail {
/// Of a device's backend.
struct CommunicatorMaker {
  std::string (*new_id)() = nullptr;
  std::unique_ptr<DeviceCommunicator> (*join)(Device device, int rank, int size, const std::string& id) = nullptr;
};
void set_communicator_maker(const CommunicatorMaker& maker);

/// Throw as said at Communicator.
void check_operand(const char* op, const DeviceCommunicator& c, const Tensor& x);
void check_parts(const char* op, const DeviceCommunicator& c, const Tensor& whole, const Tensor& part);
}  // namespace detail

}  // namespace plumb::dist

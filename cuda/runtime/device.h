// The GPUs of this machine, and which of them the calling thread uses.
#pragma once
#include <string>

namespace plumb::cuda_backend {

struct DeviceProperties {
  std::string name;
  int multiprocessors = 0;
  int major = 0, minor = 0;       ///< compute capability
  int shared_bytes_per_block = 0; ///< the most a block can ask for
  size_t memory_bytes = 0;
};

/// How many GPUs there are. Throws DeviceError, in one line, if there is no driver or no GPU.
int device_count();
/// Throws DeviceError if the GPU is not there.
const DeviceProperties& properties(int index);

/// The GPU that this thread's kernels and allocations go to. Kernel slots make the device of their tensors current before they call a
/// kernel, so that kernels need not.
int current_device();
void make_current(int index);
const DeviceProperties& current_properties();

}  // namespace plumb::cuda_backend

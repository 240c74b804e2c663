// The simulated GPU as tests see it: one device (or several that share a memory) whose memory the host cannot touch. Kernels and copies run
// when something waits for them.
#pragma once
#include <cstddef>
#include <stdexcept>
#include <string>

namespace plumb {

/// register_cuda() of the simulated device: fills the slots of DeviceType::cuda with kernels that run on the CPU.
void register_simulated_cuda();

namespace simulated {

/// What a kernel did that would hang or crash a GPU.
class KernelError : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// While alive, the host may touch the device's memory. For code that plays the device.
class OpenMemory {
 public:
  OpenMemory();
  ~OpenMemory();
  OpenMemory(const OpenMemory&) = delete;
  OpenMemory& operator=(const OpenMemory&) = delete;
};

/// How much memory the device has; 8 GiB at the start.
void set_memory_size(size_t bytes);
/// Whether `at` lies in the device's memory.
bool is_device_memory(const void* at);
/// How many GPUs and whether a driver there is, for tests of what is said without.
void set_device_count(int count);
void set_driver(bool installed);

/// Forgets what a kernel did wrong; a GPU would need a new process.
void reset();

/// Fills the shared arrays of all kernels with 0xFF (NaN in every floating type).
void poison_static_shared_memory();
/// The name of a kernel, from the program's symbols.
std::string kernel_name(const void* kernel);

}  // namespace simulated
}  // namespace plumb

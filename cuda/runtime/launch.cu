// Grid sizes, and errors of a launch with the kernel's name.
#include "cuda/runtime/launch.h"

#include <cxxabi.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <string>

#include "cuda/runtime/device.h"
#include "engine/core/error.h"

namespace plumb::cuda_backend {

// Eight blocks of 256 threads fill a multiprocessor's 2048 places; four times that evens out blocks that take longer.
Grid grid_for(int64_t work, int threads) {
  int64_t wanted = (work + threads - 1) / threads, most = int64_t{4} * resident_blocks(std::max(1, 2048 / threads));
  return {dim3(static_cast<unsigned>(std::min(wanted, most))), dim3(static_cast<unsigned>(threads))};
}

int resident_blocks(int per_multiprocessor) { return current_properties().multiprocessors * per_multiprocessor; }

namespace detail {
namespace {

std::string kernel_name(const void* kernel) {
  const char* mangled = nullptr;
  if (cudaFuncGetName(&mangled, kernel) != cudaSuccess || !mangled) return "a kernel";
  int status = 0;
  std::unique_ptr<char, void (*)(void*)> plain(abi::__cxa_demangle(mangled, nullptr, nullptr, &status), std::free);
  return status == 0 ? plain.get() : mangled;
}

std::string text(const dim3& d) { return std::to_string(d.x) + "×" + std::to_string(d.y) + "×" + std::to_string(d.z); }

}  // namespace

void check_launch(cudaError_t status, const void* kernel, const Grid& grid) {
  if (status == cudaSuccess) return;
  check(status, ("launch of " + kernel_name(kernel) + " (blocks " + text(grid.blocks) + ", threads " + text(grid.threads) +
                 ", shared bytes " + std::to_string(grid.shared_bytes) + ")")
                    .c_str());
}

void allow_shared_memory(const void* kernel, const Grid& grid) {
  check_launch(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(grid.shared_bytes)), kernel,
               grid);
}

}  // namespace detail
}  // namespace plumb::cuda_backend

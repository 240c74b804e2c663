// The simulated device has no vendor's libraries: the CPU's kernels compute their slots, on the device's memory.
#include <tuple>

#include "engine/core/tensor.h"
#include "ops/kernels/fft.h"
#include "ops/kernels/linalg.h"
#include "ops/kernels/matmul.h"
#include "tests/cuda/simulated/device.h"
#include "tests/cuda/simulated/runtime.h"

namespace plumb::simulated_backend {

cudaStream_t current_stream();

namespace {

/// x's elements as a tensor of the CPU.
Tensor lent(const Tensor& x) {
  if (!x.defined()) return {};
  Tensor base = from_blob(x.raw_data(), {}, x.dtype(), [](void*) {}, nullptr);
  return view_of(base, x.shape(), x.strides(), 0);
}
template <typename T> const T& lent(const T& x) { return x; }

bool capturing() {
  cudaStreamCaptureStatus status;
  cudaStreamIsCapturing(current_stream(), &status);
  return status == cudaStreamCaptureStatusActive;
}

// Waits for what comes before and computes at once, so that errors of the numbers are thrown where the CPU throws them; while a graph is
// captured, computes when the graph runs.
template <auto& slot, typename... Args>
void stand_in(Args... args) {
  auto compute = [lent_args = std::tuple<std::decay_t<Args>...>(lent(args)...)]() mutable {
    std::apply([](auto&... a) { slot(cpu, a...); }, lent_args);
  };
  if (capturing()) {
    simulated::enqueue(current_stream(), compute);
    return;
  }
  if (cudaStreamSynchronize(current_stream()) != cudaSuccess) throw DeviceError(cudaGetErrorString(cudaGetLastError()));
  simulated::OpenMemory open;
  compute();
}

template <auto& slot, typename... Args>
void fill_slot(Kernel<void(Args...)>& kernel) {
  kernel.set(DeviceType::cuda, stand_in<slot, Args...>);
}
template <auto&... slots>
void fill_slots() {
  (fill_slot<slots>(slots), ...);
}

}  // namespace

void register_libraries() {
  fill_slots<kernel::matmul, kernel::matmul_gelu, kernel::matmul_gelu_backward, kernel::fft, kernel::rfft, kernel::irfft, kernel::cholesky,
             kernel::solve, kernel::triangular_solve, kernel::slogdet, kernel::svd, kernel::qr, kernel::eigh>();
}

}  // namespace plumb::simulated_backend

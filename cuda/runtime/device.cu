// The GPUs of this machine, asked once.
#include "cuda/runtime/device.h"

#include <vector>

#include "cuda/runtime/error.h"
#include "engine/core/error.h"

namespace plumb::cuda_backend {
namespace {

int attribute(cudaDeviceAttr which, int index) {
  int value = 0;
  check(cudaDeviceGetAttribute(&value, which, index), "device");
  return value;
}

DeviceProperties ask(int index) {
  cudaDeviceProp all{};
  check(cudaGetDeviceProperties(&all, index), "device");
  return {all.name,  attribute(cudaDevAttrMultiProcessorCount, index),          all.major,
          all.minor, attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin, index), all.totalGlobalMem};
}

std::vector<DeviceProperties> ask_all() {
  int count = 0;
  cudaError_t status = cudaGetDeviceCount(&count);
  if (status == cudaErrorInsufficientDriver)
    throw DeviceError("cuda: there is no NVIDIA driver, or one older than CUDA " + std::to_string(CUDART_VERSION / 1000) + "." +
                      std::to_string(CUDART_VERSION % 1000 / 10) + ", for which this program was built");
  if (status == cudaErrorNoDevice || (status == cudaSuccess && count == 0)) throw DeviceError("cuda: there is no GPU");
  check(status, "device");
  std::vector<DeviceProperties> all;
  for (int i = 0; i < count; ++i) all.push_back(ask(i));
  return all;
}

const std::vector<DeviceProperties>& devices() {
  static const std::vector<DeviceProperties> all = ask_all();
  return all;
}

thread_local int current = -1;  // −1: this thread has not chosen

}  // namespace

int device_count() { return static_cast<int>(devices().size()); }

const DeviceProperties& properties(int index) {
  if (index < 0 || index >= device_count())
    throw DeviceError("cuda:" + std::to_string(index) + " is not there: this machine has " + std::to_string(device_count()) + " GPU(s)");
  return devices()[static_cast<size_t>(index)];
}

int current_device() {
  if (current < 0) make_current(0);
  return current;
}

void make_current(int index) {
  if (index == current) return;
  properties(index);
  check(cudaSetDevice(index), "device");
  current = index;
}

const DeviceProperties& current_properties() { return properties(current_device()); }

}  // namespace plumb::cuda_backend

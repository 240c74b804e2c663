// The kernel on the GPU: a thread takes every grid_threads()-th element. `launch` gives it to the stream that Plumb works on.
#include "cuda/runtime/launch.h"
#include "kernel.h"

using namespace plumb;

__global__ void squared_relu_elements(const float* x, float* y, int64_t n) {
  for (int64_t i = cuda_backend::thread_index(); i < n; i += cuda_backend::grid_threads()) {
    float positive = x[i] > 0 ? x[i] : 0;
    y[i] = positive * positive;
  }
}

static void squared_relu_gpu(const Tensor& x, Tensor& y) {
  cuda_backend::launch(squared_relu_elements, cuda_backend::grid_for(x.numel()), x.data<float>(), y.data<float>(), x.numel());
}

void set_gpu_kernel() { squared_relu_kernel.set(DeviceType::cuda, squared_relu_gpu); }

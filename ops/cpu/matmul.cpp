// Matrix products on the CPU: tensors to pointers and strides, for the product in gemm/.
#include "ops/kernels/matmul.h"

#include "ops/cpu/gemm/gemm.h"

namespace plumb::cpu_kernels {
namespace {

void matmul(const Tensor& a, const Tensor& b, const Tensor& bias, bool accumulate, Tensor& out) {
  const Strides &sa = a.strides(), &sb = b.strides();
  int64_t batch = out.shape()[0], m = out.shape()[1], n = out.shape()[2], k = a.shape()[2];
  visit_floating("matmul", a.dtype(), [&]<typename T>() {
    gemm::Epilogue<T> epilogue;
    if (bias.defined()) epilogue.bias = bias.data<T>();
    gemm::multiply_batched<T>(batch, m, n, k, {a.data<T>(), sa[1], sa[2]}, sa[0], {b.data<T>(), sb[1], sb[2]}, sb[0], out.data<T>(), n, m * n, accumulate, epilogue);
  });
}

}  // namespace

void register_matmul() { kernel::matmul.set(DeviceType::cpu, matmul); }

}  // namespace plumb::cpu_kernels

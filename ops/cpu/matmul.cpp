// Matrix products on the CPU: tensors to pointers and strides, for the product in gemm/.
#include "ops/kernels/matmul.h"

#include "ops/cpu/gemm/gemm.h"
#include "ops/cpu/wide_loop.h"
#include "ops/kernels/pointwise.h"
#include "ops/pointwise_functions.h"

namespace plumb::cpu_kernels {
namespace {

template <typename T>
void multiply(const Tensor& a, const Tensor& b, bool accumulate, const gemm::Epilogue<T>& epilogue, Tensor& out) {
  const Strides &sa = a.strides(), &sb = b.strides();
  int64_t batch = out.shape()[0], m = out.shape()[1], n = out.shape()[2], k = a.shape()[2];
  gemm::multiply_batched<T>(batch, m, n, k, {a.data<T>(), sa[1], sa[2]}, sa[0], {b.data<T>(), sb[1], sb[2]}, sb[0], out.data<T>(), n, m * n,
                            accumulate, epilogue);
}

void matmul(const Tensor& a, const Tensor& b, const Tensor& bias, bool accumulate, Tensor& out) {
  visit_floating("matmul", a.dtype(), [&]<typename T>() {
    gemm::Epilogue<T> epilogue;
    if (bias.defined()) epilogue.bias = bias.data<T>();
    multiply<T>(a, b, accumulate, epilogue, out);
  });
}

template <typename Value>
void gelu_row(Value* values, int64_t n) {
  wide_loop(n, [=](int64_t i) __attribute__((always_inline)) { values[i] = function::GeluTanh::apply(values[i], Value(0), Value(0)); });
}

void matmul_gelu(const Tensor& a, const Tensor& b, const Tensor& bias, Tensor& before, Tensor& out) {
  visit_floating("matmul_gelu", a.dtype(), [&]<typename T>() {
    gemm::Epilogue<T> epilogue;
    if (bias.defined()) epilogue.bias = bias.data<T>();
    if (before.defined()) epilogue.before_activation = before.data<T>();
    epilogue.activation = gelu_row<typename gemm::Epilogue<T>::Value>;
    multiply<T>(a, b, false, epilogue, out);
  });
}

void matmul_gelu_backward(const Tensor& a, const Tensor& b, const Tensor& before, Tensor& out) {
  matmul(a, b, {}, false, out);
  kernel::binary(cpu, BinaryOp::gelu_tanh_backward, before, out, out);
}

}  // namespace

void register_matmul() {
  kernel::matmul.set(DeviceType::cpu, matmul);
  kernel::matmul_gelu.set(DeviceType::cpu, matmul_gelu);
  kernel::matmul_gelu_backward.set(DeviceType::cpu, matmul_gelu_backward);
}

}  // namespace plumb::cpu_kernels

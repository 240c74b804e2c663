// Complex products: the real and the imaginary part of a number are one operand of the element-wise kernel. Bytes: both operands read, the
// product written, once.
#include "cuda/kernels/elementwise.h"
#include "ops/kernels/complex.h"

namespace plumb {
namespace cuda_backend {
namespace {

template <typename S>
struct Complex {
  S re, im;
};

template <typename S>
struct ComplexMul {
  bool conjugate;
  __device__ Complex<S> operator()(Complex<S> a, Complex<S> b) const {
    using T = compute_t<S>;
    T ar = static_cast<T>(a.re), ai = static_cast<T>(a.im), br = static_cast<T>(b.re),
      bi = conjugate ? -static_cast<T>(b.im) : static_cast<T>(b.im);
    return {static_cast<S>(ar * br - ai * bi), static_cast<S>(ar * bi + ai * br)};
  }
};

// The numbers of x, one element each, if the parts of a number are neighbours.
Tensor numbers(const Tensor& x) { return view_of(x, x.shape().slice(0, x.rank() - 1), x.strides().slice(0, x.rank() - 1), 0); }
Tensor with_parts_together(const Tensor& x) { return x.strides().back() == 1 ? x : contiguous_data(x); }

void complex_mul(const Tensor& a, const Tensor& b, bool conjugate, Tensor& y) {
  Tensor left = numbers(with_parts_together(a)), right = numbers(with_parts_together(b)), out = numbers(y);
  visit_floating("complex_mul", y.dtype(),
                 [&]<typename S>() { elementwise<Complex<S>, Complex<S>, Complex<S>>(ComplexMul<S>{conjugate}, out, left, right); });
}

}  // namespace

void register_complex() { kernel::complex_mul.set(DeviceType::cuda, complex_mul); }

}  // namespace cuda_backend
}  // namespace plumb

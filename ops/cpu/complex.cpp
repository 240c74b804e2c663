// CPU kernel of complex products. Bytes: both operands read, the product written, once.
#include "ops/kernels/complex.h"

#include "ops/cpu/strided_loop.h"

namespace plumb::cpu_kernels {
namespace {

// The real parts of x, as a tensor without the last axis; the imaginary parts lie `apart` elements behind.
struct Parts {
  Tensor real;
  int64_t apart;
  explicit Parts(const Tensor& x)
      : real(view_of(x, x.shape().slice(0, x.rank() - 1), x.strides().slice(0, x.rank() - 1), 0)), apart(x.strides().back()) {}
};

template <typename S>
struct Run {
  const S* at;
  int64_t step, apart;  // in elements
};

// Steps are known to the compiler where all numbers are pairs one after the other.
template <bool packed, typename S>
void multiply_run(int64_t n, Run<S> a, Run<S> b, bool conjugate, S* y) {
  using T = compute_t<S>;
  const T sign = conjugate ? -1 : 1;
  const int64_t a_step = packed ? 2 : a.step, a_apart = packed ? 1 : a.apart, b_step = packed ? 2 : b.step, b_apart = packed ? 1 : b.apart;
  for (int64_t i = 0; i < n; ++i) {
    T ar = static_cast<T>(a.at[i * a_step]), ai = static_cast<T>(a.at[i * a_step + a_apart]);
    T br = static_cast<T>(b.at[i * b_step]), bi = sign * static_cast<T>(b.at[i * b_step + b_apart]);
    y[2 * i] = static_cast<S>(ar * br - ai * bi);
    y[2 * i + 1] = static_cast<S>(ar * bi + ai * br);
  }
}

void complex_mul(const Tensor& a, const Tensor& b, bool conjugate, Tensor& y) {
  Parts pa(a), pb(b), py(y);
  auto loop = strided_loop<3>({&py.real, &pa.real, &pb.real});
  visit_floating("complex_mul", y.dtype(), [&]<typename S>() {
    constexpr auto width = static_cast<int64_t>(sizeof(S));
    parallel_rows(loop, [&](int64_t n, const std::array<std::byte*, 3>& at, const std::array<int64_t, 3>& stride) {
      Run<S> left{reinterpret_cast<const S*>(at[1]), stride[1] / width, pa.apart};
      Run<S> right{reinterpret_cast<const S*>(at[2]), stride[2] / width, pb.apart};
      auto packed = [](const Run<S>& r) { return r.step == 2 && r.apart == 1; };
      auto* out = reinterpret_cast<S*>(at[0]);
      if (stride[0] != 2 * width) {  // a run across rows: one number at a time
        for (int64_t i = 0; i < n; ++i)
          multiply_run<false, S>(1, {left.at + i * left.step, 0, left.apart}, {right.at + i * right.step, 0, right.apart}, conjugate,
                                 reinterpret_cast<S*>(at[0] + i * stride[0]));
      } else if (packed(left) && packed(right)) {
        multiply_run<true>(n, left, right, conjugate, out);
      } else {
        multiply_run<false>(n, left, right, conjugate, out);
      }
    });
  });
}

}  // namespace

void register_complex() { kernel::complex_mul.set(DeviceType::cpu, complex_mul); }

}  // namespace plumb::cpu_kernels

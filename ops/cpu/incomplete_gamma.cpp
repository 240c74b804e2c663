// Incomplete gamma functions on the CPU. Bound: arithmetic, 10 to a few √a terms an element.
#include "engine/core/parallel.h"
#include "ops/incomplete_gamma_functions.h"
#include "ops/kernels/incomplete_gamma.h"

namespace plumb::cpu_kernels {
namespace {

template <int N>
void fill(const Tensor& a, const Tensor& x, bool want_upper, Tensor& out) {
  const double *pa = a.data<double>(), *px = x.data<double>();
  double* y = out.data<double>();
  parallel_for(out.numel(), 256, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) y[i] = incomplete::value_at<N>(pa[i], px[i], want_upper);
  });
}

void incomplete_gamma(const Tensor& a, const Tensor& x, bool want_upper, int order, Tensor& out) {
  switch (order) {
    case 0: return fill<0>(a, x, want_upper, out);
    case 1: return fill<1>(a, x, want_upper, out);
    case 2: return fill<2>(a, x, want_upper, out);
    default: return fill<3>(a, x, want_upper, out);
  }
}

}  // namespace

void register_incomplete_gamma() { kernel::incomplete_gamma.set(DeviceType::cpu, incomplete_gamma); }

}  // namespace plumb::cpu_kernels

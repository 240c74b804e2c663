// Incomplete gamma functions on the GPU, by the CPU's own functions. Bound: arithmetic in f64, 10 to a few √a terms an element; threads of
// a warp wait for the one with the most.
#include "ops/incomplete_gamma_functions.h"

#include "cuda/kernels/elementwise.h"
#include "ops/kernels/incomplete_gamma.h"

namespace plumb::cuda_backend {
namespace {

template <int N>
struct IncompleteGamma {
  bool upper;
  __device__ double operator()(double a, double x) const { return incomplete::value_at<N>(a, x, upper); }
};

void incomplete_gamma(const Tensor& a, const Tensor& x, bool upper, int order, Tensor& out) {
  switch (order) {
    case 0: return elementwise<double, double, double>(IncompleteGamma<0>{upper}, out, a, x);
    case 1: return elementwise<double, double, double>(IncompleteGamma<1>{upper}, out, a, x);
    case 2: return elementwise<double, double, double>(IncompleteGamma<2>{upper}, out, a, x);
    default: return elementwise<double, double, double>(IncompleteGamma<3>{upper}, out, a, x);
  }
}

}  // namespace

void register_incomplete_gamma() { kernel::incomplete_gamma.set(DeviceType::cuda, incomplete_gamma); }

}  // namespace plumb::cuda_backend

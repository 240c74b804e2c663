// The largest or smallest element and its first place, on the GPU: a reduction whose partial results are a number and its place, so that
// the order of joining does not matter. Bytes: read x once. Bound: memory.
#include "cuda/kernels/reduce_engine.h"
#include "engine/core/tensor.h"
#include "ops/kernels/reduce.h"

namespace plumb::cuda_backend {
namespace {

template <typename T>
struct Placed {
  T value;
  int64_t place;  ///< −1: nothing yet
};

template <typename S>
struct ExtremumOp {
  using T = compute_t<S>;
  using Value = Placed<T>;
  static constexpr int kPack = 1;
  const S* x;
  S* values;
  int64_t* places;
  bool largest;

  __device__ Value start() const { return {T(), -1}; }
  __device__ Value join(const Value& a, const Value& b) const {
    if (a.place < 0 || b.place < 0) return a.place < 0 ? b : a;
    bool nan_a = a.value != a.value, nan_b = b.value != b.value;
    if (nan_a != nan_b) return nan_a ? a : b;
    bool equal = nan_a || a.value == b.value;
    if (equal) return a.place < b.place ? a : b;
    return (a.value > b.value) == largest ? a : b;
  }
  __device__ Value element(int64_t at, int64_t, int64_t n) const { return {load(x[at]), n}; }
  __device__ void store(int64_t at, const Value& v) const {
    values[at] = static_cast<S>(v.value);
    places[at] = v.place;
  }
};

void extremum(bool largest, const Tensor& x, Tensor& values, Tensor& indices) {
  int64_t outer = x.shape()[0], n = x.shape()[1], inner = x.shape()[2];
  ReduceAxes kept, reduced;
  kept.add({outer, n * inner, inner, 0});
  kept.add({inner, 1, 1, 0});
  reduced.add({n, inner, 0, 0});
  visit_dtype(x.dtype(), [&]<typename S>() {
    if constexpr (std::is_same_v<S, bool>) unsupported_dtype("extremum", boolean);
    else reduce_axes(ExtremumOp<S>{x.data<S>(), values.data<S>(), indices.data<int64_t>(), largest}, kept, reduced);
  });
}

}  // namespace

void register_extremum() { kernel::extremum.set(DeviceType::cuda, extremum); }

}  // namespace plumb::cuda_backend

// A convolution as own kernels see it.
#pragma once
#include <cuda_runtime.h>

#include <cstdint>

#include "engine/core/tensor.h"
#include "ops/kernels/conv.h"

namespace plumb::cuda_backend {

/// Input [n, c, h, w] and output [n, o, y, x] with strides, weight [o, c / groups, kh, kw] row-major.
struct ConvPlan {
  int64_t n, c, h, w, o, y, x, kh, kw, groups;
  int64_t stride[2], padding[2], dilation[2];
  int64_t in[4], out[4];  ///< strides of the input and of the output

  ConvPlan(const Tensor& input, const Tensor& weight, const Tensor& output, const ConvGeometry& g)
      : n(input.size(0)),
        c(input.size(1)),
        h(input.size(2)),
        w(input.size(3)),
        o(output.size(1)),
        y(output.size(2)),
        x(output.size(3)),
        kh(weight.size(2)),
        kw(weight.size(3)),
        groups(g.groups),
        stride{g.stride[0], g.stride[1]},
        padding{g.padding[0], g.padding[1]},
        dilation{g.dilation[0], g.dilation[1]} {
    for (int d = 0; d < 4; ++d) in[d] = input.strides()[d], out[d] = output.strides()[d];
  }

  __host__ __device__ int64_t taps() const { return kh * kw; }
  __host__ __device__ int64_t in_group() const { return c / groups; }   ///< input channels of a group
  __host__ __device__ int64_t out_group() const { return o / groups; }  ///< output channels of a group

  /// The row (d = 0) or column (d = 1) of the input that output place `at` reads with kernel entry `k`; may lie outside.
  __device__ int64_t reads(int d, int64_t at, int64_t k) const { return at * stride[d] - padding[d] + k * dilation[d]; }
  /// The output row or column that reads place `at` of the input with kernel entry `k`; −1 if none does.
  __device__ int64_t reader(int d, int64_t at, int64_t k) const {
    const int64_t from = at + padding[d] - k * dilation[d];
    if (from < 0) return -1;
    const auto steps = static_cast<uint32_t>(from) / static_cast<uint32_t>(stride[d]);
    return steps * stride[d] == from && steps < (d == 0 ? y : x) ? static_cast<int64_t>(steps) : -1;
  }
};

}  // namespace plumb::cuda_backend

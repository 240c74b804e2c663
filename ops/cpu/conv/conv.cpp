// Convolution and its adjoint in the input, as sums over taps (taps.h).
#include "ops/kernels/conv.h"

#include "engine/core/parallel.h"
#include "ops/cpu/conv/taps.h"
#include "ops/cpu/conv/winograd.h"
#include "ops/cpu/gemm/scratch.h"

namespace plumb::cpu_kernels {
namespace {

using conv::Source;
using conv::Tap;
using conv::TapConvolution;
using conv::TapGrid;

// Whether this is what Winograd's algorithm computes; how much of it is worth it, winograd_for says.
bool is_winograd(const Tensor& weight, const ConvGeometry& g) {
  const Shape& s = weight.shape();
  return (weight.dtype() == f32 || weight.dtype() == bf16) && s[2] == 3 && s[3] == 3 && g.stride[0] == 1 && g.stride[1] == 1 &&
         g.dilation[0] == 1 && g.dilation[1] == 1 && g.groups == 1;
}

// y = weight ∗ x + bias, if it is done by Winograd's algorithm. `flipped`: with the channels of the weight exchanged and its kernels
// flipped.
template <typename T>
bool winograd_typed(const Tensor& x, const Tensor& weight, const Tensor& bias, int64_t padding_h, int64_t padding_w, bool flipped,
                    Tensor& y) {
  const Shape &s = weight.shape(), &places = y.shape();
  const conv::WinogradConvolution p{places[0], flipped ? s[0] : s[1], flipped ? s[1] : s[0], places[2], places[3], {padding_h, padding_w}};
  const conv::WinogradTransforms* transforms = conv::winograd_for<T>(p);
  if (!transforms) return false;
  const conv::WinogradWeight<T> w{weight.data<T>(), flipped ? s[1] * 9 : 9, flipped ? 9 : s[1] * 9, flipped};
  conv::convolve_winograd(p, *transforms, Source<T>(x), w, bias.defined() ? bias.data<T>() : nullptr, y);
  return true;
}
bool by_winograd(const Tensor& x, const Tensor& weight, const Tensor& bias, int64_t padding_h, int64_t padding_w, bool flipped, Tensor& y) {
  return weight.dtype() == f32 ? winograd_typed<float>(x, weight, bias, padding_h, padding_w, flipped, y)
                               : winograd_typed<bfloat16>(x, weight, bias, padding_h, padding_w, flipped, y);
}

// Calls f(row) for rows [0, rows) of `length` values each, on all threads.
template <typename F>
void for_rows(int64_t rows, int64_t length, const F& f) {
  parallel_for(rows, std::max<int64_t>(1, 16384 / std::max<int64_t>(1, length)), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) f(r);
  });
}

template <typename T>
void conv_typed(const Tensor& x, const Tensor& weight, const Tensor& bias, const ConvGeometry& g, Tensor& y) {
  const Shape &s = weight.shape(), &places = y.shape();
  std::vector<Tap> taps;
  for (int64_t i = 0; i < s[2]; ++i)
    for (int64_t j = 0; j < s[3]; ++j) taps.push_back({i * g.dilation[0] - g.padding[0], j * g.dilation[1] - g.padding[1]});
  const TapConvolution p{.grid = TapGrid(g.stride[0], g.stride[1], std::move(taps)),
                         .batch = places[0],
                         .groups = g.groups,
                         .channels = s[1],
                         .m = s[0] / g.groups,
                         .height = places[2],
                         .width = places[3]};
  conv::convolve_taps<T>(p, Source<T>(x), weight.data<T>(), bias.defined() ? bias.data<T>() : nullptr, y);
}

// Along one dimension: places of the input of one residue of the stride, and the kernel entries that reach them.
struct Phase {
  int64_t first, count;                         // places first, first + stride, …
  std::vector<std::pair<int64_t, int64_t>> taps;  // kernel entry, offset of the output place it multiplies
};

// Place i = first + t · stride took kernel entry k from output place (i + padding − k · dilation) / stride = t + offset, if that divides.
std::vector<Phase> phases_of(int64_t size, int64_t kernel, const ConvGeometry& g, int d) {
  const int64_t stride = g.stride[d];
  std::vector<Phase> phases;
  for (int64_t first = 0; first < std::min(stride, size); ++first) {
    Phase p{first, (size - first + stride - 1) / stride, {}};
    for (int64_t k = 0; k < kernel; ++k) {
      const int64_t from = first + g.padding[d] - k * g.dilation[d];
      if (from % stride == 0) p.taps.emplace_back(k, from / stride);
    }
    phases.push_back(std::move(p));
  }
  return phases;
}

// weight [groups · O, C, kernel] → [groups · C, O, taps]
template <typename T>
void transpose_weight(const Tensor& weight, int64_t groups, const std::vector<int64_t>& entries, T* to) {
  const Shape& s = weight.shape();
  const int64_t out = s[0] / groups, channels = s[1], kernel = s[2] * s[3], n = static_cast<int64_t>(entries.size());
  const T* w = weight.data<T>();
  for_rows(groups * channels, out * n, [&](int64_t row) {
    const int64_t group = row / channels, c = row % channels;
    T* at = to + row * out * n;
    for (int64_t o = 0; o < out; ++o)
      for (int64_t entry : entries) *at++ = w[((group * out + o) * channels + c) * kernel + entry];
  });
}

template <typename T>
void conv_transpose_typed(const Tensor& y, const Tensor& weight, const Tensor& bias, const ConvGeometry& g, Tensor& x) {
  const Shape &s = weight.shape(), &places = x.shape();
  const T* b = bias.defined() ? bias.data<T>() : nullptr;
  gemm::Buffer<T> transposed(std::max<int64_t>(1, weight.numel()));
  const auto columns = phases_of(places[3], s[3], g, 1);
  for (const Phase& v : phases_of(places[2], s[2], g, 0))
    for (const Phase& h : columns) {
      std::vector<Tap> taps;
      std::vector<int64_t> entries;
      for (auto [i, dy] : v.taps)
        for (auto [j, dx] : h.taps) {
          taps.push_back({dy, dx});
          entries.push_back(i * s[3] + j);
        }
      transpose_weight<T>(weight, g.groups, entries, transposed.data());
      const TapConvolution p{.grid = TapGrid(1, 1, std::move(taps)),
                             .batch = places[0],
                             .groups = g.groups,
                             .channels = s[0] / g.groups,
                             .m = s[1],
                             .height = v.count,
                             .width = h.count,
                             .out_step_h = g.stride[0],
                             .out_step_w = g.stride[1],
                             .out_y = v.first,
                             .out_x = h.first};
      conv::convolve_taps<T>(p, Source<T>(y), transposed.data(), b, x);
    }
}

void conv_cpu(const Tensor& x, const Tensor& weight, const Tensor& bias, const ConvGeometry& g, Tensor& y) {
  if (is_winograd(weight, g) && by_winograd(x, weight, bias, g.padding[0], g.padding[1], false, y)) return;
  visit_floating("conv", x.dtype(), [&]<typename T>() { conv_typed<T>(x, weight, bias, g, y); });
}
void conv_transpose_cpu(const Tensor& y, const Tensor& weight, const Tensor& bias, const ConvGeometry& g, Tensor& x) {
  if (is_winograd(weight, g) && by_winograd(y, weight, bias, 2 - g.padding[0], 2 - g.padding[1], true, x)) return;
  visit_floating("conv_transpose", y.dtype(), [&]<typename T>() { conv_transpose_typed<T>(y, weight, bias, g, x); });
}

}  // namespace

void conv_weight_cpu(const Tensor& y, const Tensor& x, const ConvGeometry& g, Tensor& weight);  // weight.cpp

void register_conv() {
  kernel::conv.set(DeviceType::cpu, conv_cpu);
  kernel::conv_transpose.set(DeviceType::cpu, conv_transpose_cpu);
  kernel::conv_weight.set(DeviceType::cpu, conv_weight_cpu);
}

}  // namespace plumb::cpu_kernels

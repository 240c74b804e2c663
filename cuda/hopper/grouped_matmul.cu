// Launches of grouped products on an H100, where operands can be mapped for its copy engine: 16 bits, rows in multiples of 16 bytes.
// Everything else goes to the kernels of any GPU. The host knows nothing of the segments' sizes, and does not ask.
#include <algorithm>
#include <limits>

#include "cuda/hopper/grouped_product.h"
#include "cuda/hopper/tensor_map.h"
#include "cuda/kernels/elements.h"
#include "cuda/kernels/grouped_matmul.h"
#include "cuda/runtime/device.h"
#include "ops/kernels/grouped_matmul.h"

namespace plumb::cuda_backend {
namespace {

bool on_hopper(DType type) { return item_size(type) == 2 && current_properties().major == 9 && current_properties().minor == 0; }

/// Rows of one tensor, `box` of them at a time: the depth of an outer product, or the left operand of a product.
std::vector<MappedDim> rows_of(const Tensor& x, int box) { return {{x.size(1), x.strides()[1], kBox}, {x.size(0), x.strides()[0], box}}; }

/// Matrices [segments, k, n] with the depth k dense, or n.
struct MappedMatrices {
  bool depth_dense;
  std::vector<MappedDim> dims;
};
MappedMatrices matrices_of(const Tensor& b) {
  const Strides& s = b.strides();
  const int64_t segments = b.size(0), k = b.size(1), n = b.size(2);
  const MappedDim each{segments, segments == 1 ? pieces(k * n, 8) * 8 : s[0], 1};
  if (s[1] == 1) return {true, {{k, 1, kBox}, {n, s[2], kTileN}, each}};
  return {false, {{n, s[2], kBox}, {k, s[1], kTileK}, each}};
}

bool fits(const GroupedSizes& sizes, int64_t rows, const Tensor& out) {
  return sizes.segments <= kMostSegments && rows < std::numeric_limits<int>::max() - kTileM && sizes.n % 8 == 0 &&
         aligned16(out.raw_data());
}

template <typename T, bool kRightDense>
void launch_product(const CUtensorMap& left, const CUtensorMap& right, const GroupedSizes& sizes, int64_t tiles, const Tensor& bias,
                    Tensor& out) {
  const auto blocks = static_cast<unsigned>(std::min<int64_t>(tiles, resident_blocks(1)));
  launch(grouped_product<T, kRightDense>, {dim3(blocks), dim3(kGroupedThreads), kGroupedSharedBytes}, left, right, sizes,
         data_or_null<T>(bias), out.data<T>());
}

template <typename T>
void launch_outer(const CUtensorMap& left, const CUtensorMap& right, const GroupedSizes& sizes, int64_t tiles, Tensor& out) {
  const Grid grid{dim3(static_cast<unsigned>(std::min<int64_t>(tiles, resident_blocks(1)))), dim3(kGroupedThreads), kGroupedSharedBytes};
  if (out.dtype() == f32) launch(grouped_outer_product<T, float>, grid, left, right, sizes, out.data<float>());
  else launch(grouped_outer_product<T, T>, grid, left, right, sizes, out.data<T>());
}

template <typename F>
void visit_short(DType type, F&& f) {
  if (type == bf16)
    f.template operator()<bfloat16>();
  else
    f.template operator()<half>();
}

void grouped_matmul_mapped(const Tensor& a, const Tensor& b, const Tensor& bias, const Tensor& offsets, Tensor& out) {
  if (out.numel() == 0) return;
  const int64_t rows = a.size(0), n = out.size(1), segments = b.size(0);
  const std::vector<MappedDim> left = rows_of(a, kTileM);
  const MappedMatrices right = matrices_of(b);
  const GroupedSizes sizes{offsets.data<int64_t>(), static_cast<int>(segments), static_cast<int>(rows), 0,
                           static_cast<int>(n),     static_cast<int>(a.size(1))};
  if (!on_hopper(a.dtype()) || !fits(sizes, rows, out) || !can_be_mapped(a.raw_data(), left) || !can_be_mapped(b.raw_data(), right.dims) ||
      !aligned16(bias.defined() ? bias.raw_data() : nullptr))
    return grouped_matmul(a, b, bias, offsets, out);
  const CUtensorMap left_map = tensor_map(a.raw_data(), a.dtype(), left), right_map = tensor_map(b.raw_data(), a.dtype(), right.dims);
  const int64_t tiles = (rows / kTileM + segments) * pieces(n, kTileN);
  visit_short(a.dtype(), [&]<typename T>() {
    if (right.depth_dense)
      launch_product<T, true>(left_map, right_map, sizes, tiles, bias, out);
    else
      launch_product<T, false>(left_map, right_map, sizes, tiles, bias, out);
  });
}

void grouped_outer_mapped(const Tensor& a, const Tensor& b, const Tensor& offsets, Tensor& out) {
  if (out.numel() == 0) return;
  const int64_t rows = a.size(0), m = a.size(1), n = b.size(1), segments = out.size(0);
  const std::vector<MappedDim> left = rows_of(a, kTileK), right = rows_of(b, kTileK);
  const GroupedSizes sizes{offsets.data<int64_t>(), static_cast<int>(segments), static_cast<int>(rows),
                           static_cast<int>(m),     static_cast<int>(n),        0};
  if (!on_hopper(a.dtype()) || !fits(sizes, rows, out) || !can_be_mapped(a.raw_data(), left) || !can_be_mapped(b.raw_data(), right))
    return grouped_outer(a, b, offsets, out);
  const CUtensorMap left_map = tensor_map(a.raw_data(), a.dtype(), left), right_map = tensor_map(b.raw_data(), a.dtype(), right);
  const int64_t tiles = segments * pieces(m, kTileM) * pieces(n, kTileN);
  visit_short(a.dtype(), [&]<typename T>() { launch_outer<T>(left_map, right_map, sizes, tiles, out); });
}

}  // namespace

void register_hopper() {
  kernel::grouped_matmul.set(DeviceType::cuda, grouped_matmul_mapped);
  kernel::grouped_outer.set(DeviceType::cuda, grouped_outer_mapped);
}

}  // namespace plumb::cuda_backend

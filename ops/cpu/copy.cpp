// Moving, converting and filling elements on the CPU. Bytes: read once, write once. Bound: memory. A transposing copy goes through
// square tiles, so that neither side touches a cache line for one element only.
#include <cstring>

#include "engine/core/data_kernels.h"
#include "ops/cpu/strided_loop.h"

namespace plumb::cpu_kernels {
namespace {

constexpr int64_t kTile = 16;

// Copies begin..end of the rows of a [rows, columns] plane where dst runs along columns and src along rows.
template <typename T>
void transpose_tiles(const std::byte* src, int64_t src_row, std::byte* dst, int64_t dst_row, int64_t rows, int64_t columns) {
  for (int64_t r0 = 0; r0 < rows; r0 += kTile)
    for (int64_t c0 = 0; c0 < columns; c0 += kTile)
      for (int64_t r = r0; r < std::min(rows, r0 + kTile); ++r) {
        T* out = reinterpret_cast<T*>(dst + r * dst_row);
        for (int64_t c = c0; c < std::min(columns, c0 + kTile); ++c)
          out[c] = *reinterpret_cast<const T*>(src + c * src_row + r * static_cast<int64_t>(sizeof(T)));
      }
}

// The two innermost dimensions of the loop are a transposed plane: dst is dense along the last, src along the one before.
template <typename T>
bool copy_transposed(const StridedLoop<2>& loop) {
  if (loop.rank < 2) return false;
  constexpr int64_t width = sizeof(T);
  auto column = static_cast<size_t>(loop.rank - 1), row = column - 1;
  if (loop.strides[column][0] != width || loop.strides[row][1] != width || loop.sizes[row] < kTile || loop.sizes[column] < kTile)
    return false;
  int64_t rows = loop.sizes[row], columns = loop.sizes[column], blocks = (rows + kTile - 1) / kTile;
  StridedLoop<2> outer = loop;
  outer.rank = loop.rank - 2;
  outer.count = loop.count / (rows * columns);
  if (outer.rank == 0) {
    outer.rank = 1;
    outer.sizes[0] = 1;
    outer.strides[0] = {0, 0};
  }
  parallel_for(outer.count * blocks, std::max<int64_t>(1, kPointwiseGrain / (kTile * columns)), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      int64_t plane = i / blocks, r0 = i % blocks * kTile;
      for_each_row(outer, plane, plane + 1, [&](int64_t, const std::array<std::byte*, 2>& at, const std::array<int64_t, 2>&) {
        transpose_tiles<T>(at[1] + r0 * width, loop.strides[column][1], at[0] + r0 * loop.strides[row][0], loop.strides[row][0],
                           std::min(kTile, rows - r0), columns);
      });
    }
  });
  return true;
}

template <typename T>
void copy_same(const Tensor& src, Tensor& dst) {
  auto loop = strided_loop<2>({&dst, &src});
  if (loop.count == 0 || copy_transposed<T>(loop)) return;
  parallel_rows(loop, [&](int64_t n, const std::array<std::byte*, 2>& at, const std::array<int64_t, 2>& stride) {
    if (stride[0] == sizeof(T) && stride[1] == sizeof(T)) {
      std::memmove(at[0], at[1], static_cast<size_t>(n) * sizeof(T));
      return;
    }
    for (int64_t i = 0; i < n; ++i) *reinterpret_cast<T*>(at[0] + i * stride[0]) = *reinterpret_cast<const T*>(at[1] + i * stride[1]);
  });
}

template <typename From, typename To>
void copy_converting(const Tensor& src, Tensor& dst) {
  auto loop = strided_loop<2>({&dst, &src});
  parallel_rows(loop, [&](int64_t n, const std::array<std::byte*, 2>& at, const std::array<int64_t, 2>& stride) {
    for (int64_t i = 0; i < n; ++i) {
      auto v = static_cast<compute_t<From>>(*reinterpret_cast<const From*>(at[1] + i * stride[1]));
      if constexpr (std::is_same_v<To, bool>) *reinterpret_cast<bool*>(at[0] + i * stride[0]) = v != 0;
      else if constexpr (std::is_same_v<To, uint8_t> && std::is_floating_point_v<decltype(v)>)
        *reinterpret_cast<To*>(at[0] + i * stride[0]) = static_cast<To>(static_cast<int32_t>(v));
      else *reinterpret_cast<To*>(at[0] + i * stride[0]) = static_cast<To>(static_cast<compute_t<To>>(v));
    }
  });
}

void copy(const Tensor& src, Tensor& dst) {
  if (src.dtype() == dst.dtype()) {
    switch (item_size(src.dtype())) {
      case 8: return copy_same<uint64_t>(src, dst);
      case 4: return copy_same<uint32_t>(src, dst);
      case 2: return copy_same<uint16_t>(src, dst);
      default: return copy_same<uint8_t>(src, dst);
    }
  }
  visit_dtype(src.dtype(), [&]<typename From>() { visit_dtype(dst.dtype(), [&]<typename To>() { copy_converting<From, To>(src, dst); }); });
}

void fill(Scalar value, Tensor& dst) {
  auto loop = strided_loop<1>({&dst});
  visit_dtype(dst.dtype(), [&]<typename T>() {
    T v;
    if constexpr (std::is_same_v<T, bool>) v = value.value() != 0;
    else if constexpr (std::is_integral_v<T>) v = static_cast<T>(value.integer());
    else v = static_cast<T>(static_cast<compute_t<T>>(value.value()));
    parallel_rows(loop, [&](int64_t n, const std::array<std::byte*, 1>& at, const std::array<int64_t, 1>& stride) {
      if (stride[0] == sizeof(T)) {
        std::fill_n(reinterpret_cast<T*>(at[0]), n, v);
        return;
      }
      for (int64_t i = 0; i < n; ++i) *reinterpret_cast<T*>(at[0] + i * stride[0]) = v;
    });
  });
}

}  // namespace

void register_copy() {
  kernel::copy.set(DeviceType::cpu, copy);
  kernel::fill.set(DeviceType::cpu, fill);
}

}  // namespace plumb::cpu_kernels

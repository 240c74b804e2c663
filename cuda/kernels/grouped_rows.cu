// Rows that go to places and come back, on the GPU: 16 bytes a thread at a time where a row's length allows. Nothing is sorted but labels,
// once a routing, and nothing is added by two threads.
// Bytes: a row of N once, its k copies once each; a place's 8 bytes for each 16 of a row come from the cache. Bound: memory.
#include "ops/kernels/grouped_rows.h"

#include "cuda/kernels/elements.h"
#include "cuda/kernels/radix_sort.h"
#include "cuda/runtime/launch.h"

namespace plumb::cuda_backend {
namespace {

// -- labels in order -------------------------------------------------------------------------------------------------

// A label outside, of which the operation has told, comes last.
__global__ void label_keys(const int64_t* label, int64_t n, int64_t groups, int64_t* keys) {
  for (int64_t i = thread_index(); i < n; i += grid_threads()) keys[i] = label[i] < 0 || label[i] >= groups ? groups : label[i];
}

// place ← the inverse of order; offsets[g] ← how many of the sorted keys are less than g.
__global__ void number_labels(const int64_t* sorted, const int64_t* order, int64_t n, int64_t groups, int64_t* place, int64_t* offsets) {
  for (int64_t i = thread_index(); i < n; i += grid_threads()) place[order[i]] = i;
  for (int64_t g = thread_index(); g <= groups; g += grid_threads()) {
    int64_t low = 0, high = n;
    while (low < high) {
      const int64_t middle = low + (high - low) / 2;
      (sorted[middle] < g ? low : high) = sorted[middle] < g ? middle + 1 : middle;
    }
    offsets[g] = low;
  }
}

void group_by(const Tensor& label, Tensor& order, Tensor& place, Tensor& offsets) {
  const int64_t n = label.numel(), groups = offsets.numel() - 1;
  Scratch<int64_t> keys(n);
  launch(label_keys, grid_for(n), label.data<int64_t>(), n, groups, keys.data());
  sort_by_key(keys, order.data<int64_t>(), n, groups + 1);
  launch(number_labels, grid_for(n > groups ? n : groups + 1), keys.data(), order.data<int64_t>(), n, groups, place.data<int64_t>(),
         offsets.data<int64_t>());
}

// -- rows ------------------------------------------------------------------------------------------------------------

/// N rows of `width` elements, k places each.
struct PlacedRows {
  const int64_t* place;
  int64_t rows, k, width;
};

// A thread's piece, number `piece` of kPack elements, of a row. Addresses are multiples of kPack by their form, or the compiler would not
// see that 16 bytes can be written at once.
template <int kPack>
struct RowPiece {
  int64_t across, row, piece;
  __device__ RowPiece(int64_t i, int64_t width) : across(width / kPack) {
    row = i >> 31 ? i / across : static_cast<uint32_t>(i) / static_cast<uint32_t>(across);
    piece = i - row * across;
  }
  __device__ int64_t of(int64_t any_row) const { return (any_row * across + piece) * kPack; }
};

template <int kPack, typename X, typename Y>
__global__ void spread_pieces(PlacedRows r, const X* x, const compute_t<X>* weight, Y* y) {
  using C = compute_t<X>;
  for (int64_t i = thread_index(); i < r.rows * (r.width / kPack); i += grid_threads()) {
    const RowPiece<kPack> at(i, r.width);
    C v[kPack];
    read_pack(x + at.of(at.row), v);
    for (int64_t j = 0; j < r.k; ++j) {
      const int64_t p = r.place[at.row * r.k + j];
      if (p < 0) continue;
      const C by = weight ? weight[p] : C(1);
      C scaled[kPack];
#pragma unroll
      for (int e = 0; e < kPack; ++e) scaled[e] = by * v[e];
      write_pack(y + at.of(p), scaled);
    }
  }
}

template <int kPack, typename X, typename Y>
__global__ void join_pieces(PlacedRows r, const X* x, const compute_t<X>* weight, Y* y) {
  using C = compute_t<X>;
  for (int64_t i = thread_index(); i < r.rows * (r.width / kPack); i += grid_threads()) {
    const RowPiece<kPack> at(i, r.width);
    C sum[kPack] = {};
    for (int64_t j = 0; j < r.k; ++j) {
      const int64_t p = r.place[at.row * r.k + j];
      if (p < 0) continue;
      const C by = weight ? weight[p] : C(1);
      C v[kPack];
      read_pack(x + at.of(p), v);
#pragma unroll
      for (int e = 0; e < kPack; ++e) sum[e] += by * v[e];
    }
    write_pack(y + at.of(at.row), sum);
  }
}

// A warp a place: the sums of its lanes, then of the warp.
template <int kPack, typename X, typename Y>
__global__ void dot_rows(PlacedRows r, const X* x, const Y* y, compute_t<X>* d) {
  using C = compute_t<X>;
  for (int64_t copy = thread_index() / kWarp; copy < r.rows * r.k; copy += grid_threads() / kWarp) {
    const int64_t p = r.place[copy], row = copy / r.k;
    if (p < 0) continue;
    C sum = 0;
    for (int64_t column = lane_index() * kPack; column < r.width; column += kWarp * kPack) {
      C a[kPack], b[kPack];
      read_pack(x + row * r.width + column, a);
      read_pack(y + p * r.width + column, b);
#pragma unroll
      for (int e = 0; e < kPack; ++e) sum += a[e] * b[e];
    }
    sum = warp_sum(sum);
    if (lane_index() == 0) d[p] = sum;
  }
}

template <typename T>
const compute_t<T>* weights_of(const Tensor& weight) { return data_or_null<compute_t<T>>(weight); }

// Calls f.template operator()<A, B>() for the types of two sides.
template <typename F>
void visit_sides(const char* op, DType a, DType b, F&& f) {
  if (a == DType::f64 || b == DType::f64) {
    if (a != b) unsupported_dtype(op, a == DType::f64 ? b : a);
    return f.template operator()<double, double>();
  }
  visit_floating(op, a, [&]<typename A>() {
    visit_floating(op, b, [&]<typename B>() {
      if constexpr (sizeof(A) < 8 && sizeof(B) < 8) f.template operator()<A, B>();
    });
  });
}

// f<A, B, kPack>(rows, blocks for so much work) for the types of two sides; pieces of 8 elements where both allow it.
template <typename F>
void for_sides(const char* op, const Tensor& a, const Tensor& b, const Tensor& place, F&& f) {
  const PlacedRows rows{place.data<int64_t>(), place.size(0), place.size(1), a.size(1)};
  if (rows.rows == 0 || rows.width == 0) return;
  const bool packed = rows.width % 8 == 0 && aligned16(a.raw_data()) && aligned16(b.raw_data());
  visit_sides(op, a.dtype(), b.dtype(), [&]<typename A, typename B>() {
    if (packed) f.template operator()<A, B, 8>(rows);
    else f.template operator()<A, B, 1>(rows);
  });
}

void spread_rows(const Tensor& x, const Tensor& place, const Tensor& weight, Tensor& out) {
  for_sides("spread_rows", x, out, place, [&]<typename X, typename Y, int kPack>(const PlacedRows& r) {
    launch(spread_pieces<kPack, X, Y>, grid_for(r.rows * (r.width / kPack)), r, x.data<X>(), weights_of<X>(weight), out.data<Y>());
  });
}

void join_rows(const Tensor& x, const Tensor& place, const Tensor& weight, Tensor& out) {
  for_sides("join_rows", x, out, place, [&]<typename X, typename Y, int kPack>(const PlacedRows& r) {
    launch(join_pieces<kPack, X, Y>, grid_for(r.rows * (r.width / kPack)), r, x.data<X>(), weights_of<X>(weight), out.data<Y>());
  });
}

void row_dots(const Tensor& x, const Tensor& y, const Tensor& place, Tensor& out) {
  if (x.size(1) == 0)
    return check(cudaMemsetAsync(out.raw_data(), 0, static_cast<size_t>(out.numel()) * item_size(out.dtype()), current_stream()),
                 "row_dots");
  for_sides("row_dots", x, y, place, [&]<typename X, typename Y, int kPack>(const PlacedRows& r) {
    launch(dot_rows<kPack, X, Y>, grid_for(r.rows * r.k * kWarp), r, x.data<X>(), y.data<Y>(), out.data<compute_t<X>>());
  });
}

}  // namespace

void register_grouped_rows() {
  kernel::group_by.set(DeviceType::cuda, group_by);
  kernel::spread_rows.set(DeviceType::cuda, spread_rows);
  kernel::join_rows.set(DeviceType::cuda, join_rows);
  kernel::row_dots.set(DeviceType::cuda, row_dots);
}

}  // namespace plumb::cuda_backend

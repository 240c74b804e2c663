// Gathering and scattering on the GPU. Gathering moves elements, 16 bytes at a time where neighbours share an index. Scattering keeps the
// order along the indexed dimension without atomics: where there are many lines a thread walks each of them; otherwise the entries are
// sorted by the place that they go to and joined segment by segment (segments.h). Whether indices are in range is seen by the kernels (see
// deferred_error.h): elements outside are left out. Bytes: read once, write once, 8 an index. Bound: memory.
#include "ops/kernels/index.h"

#include "cuda/kernels/elementwise.h"
#include "cuda/kernels/prefix.h"
#include "cuda/kernels/reduce_rules.h"
#include "cuda/kernels/segments.h"
#include "cuda/runtime/deferred_error.h"

namespace plumb::cuda_backend {
namespace {

// `t` as seen from `shape`, standing still along `dim` (whose step is applied per element).
Tensor without_dim(const Tensor& t, int dim, const Shape& shape) {
  Strides strides = t.strides();
  strides[dim] = 0;
  return view_of(t, shape, strides, 0);
}

// Elements are y, index, and x at the start of its line, whose elements are `step` bytes apart.
template <typename T>
__global__ void gather_elements(Elements<3> elements, int64_t step, int64_t size) {
  constexpr int kWidth = 16 / static_cast<int>(sizeof(T));
  std::byte* at[3];
  for (int64_t i = thread_index(); i < elements.count; i += grid_threads()) {
    elements.locate(static_cast<uint32_t>(i), at);
    int64_t place = *reinterpret_cast<const int64_t*>(at[1]);
    bool inside = place >= 0 && place < size;
    const T* from = reinterpret_cast<const T*>(at[2] + (inside ? place * step : 0));
    T* to = reinterpret_cast<T*>(at[0]);
    if (elements.packed) store_packed(to, inside ? load_packed<kWidth>(from) : Packed<T, kWidth>{});
    else *to = inside ? *from : T{};
  }
}

template <typename T>
void gather_typed(const Tensor& x, int dim, const Tensor& index, Tensor& y) {
  constexpr auto width = static_cast<int64_t>(sizeof(T));
  int64_t step = x.strides()[dim] * width;
  Tensor lines = without_dim(x, dim, index.shape());
  auto loop = cpu_kernels::strided_loop<3>({&y, &index, &lines});
  int64_t at_once = loop.strides[static_cast<size_t>(loop.rank - 1)][1] == 0 && step % 16 == 0 ? 16 / width : 1;
  detail::for_each_piece(loop, [&](const cpu_kernels::StridedLoop<3>& piece) {
    auto elements = detail::elements_of<3>(piece, {width, 8, width}, at_once);
    elements.packed = elements.packed && elements.advances[2];
    if (at_once > 1 && !elements.packed) elements = detail::elements_of<3>(piece, {width, 8, width}, 1);
    launch(gather_elements<T>, grid_for(elements.count), elements, step, x.shape()[dim]);
  });
}

void gather(const Tensor& x, int dim, const Tensor& index, Tensor& y) {
  if (y.numel() == 0) return;
  switch (item_size(x.dtype())) {
    case 8: return gather_typed<uint64_t>(x, dim, index, y);
    case 4: return gather_typed<uint32_t>(x, dim, index, y);
    case 2: return gather_typed<uint16_t>(x, dim, index, y);
    default: return gather_typed<uint8_t>(x, dim, index, y);
  }
}

// -- scattering ----------------------------------------------------------------------------------------------------------------------

// Copies take any type of the right size, the other operations numbers.
template <typename T, bool kNumber>
__device__ T joined(ScatterOp op, T into, T v) {
  if constexpr (kNumber) {
    if (op == ScatterOp::add) return into + v;
    if (op == ScatterOp::maximum) return v > into || v != v ? v : into;  // NaN wins
    if (op == ScatterOp::minimum) return v < into || v != v ? v : into;
  }
  return v;
}

// The indexed dimension: how many entries a line has, the steps of the operands along it in elements, and how many places there are.
struct Indexed {
  int64_t count, index_step, src_step, z_step, places;
};

// A thread a line. `lines`: x is src, y is z, shift is index.
template <typename T, bool kNumber>
__global__ void scatter_lines(ScatterOp op, ReduceAxes lines, int64_t count, bool small, Indexed d, const int64_t* index, const T* src,
                              T* z) {
  for (int64_t line = thread_index(); line < count; line += grid_threads()) {
    ReducePlace at = place_of(lines, line, small);
    for (int64_t k = 0; k < d.count; ++k) {
      int64_t place = index[at.shift + k * d.index_step];
      if (place < 0 || place >= d.places) continue;
      T& into = z[at.y + place * d.z_step];
      into = joined<T, kNumber>(op, into, src[at.x + k * d.src_step]);
    }
  }
}

// Entry l · count + k is element k of the line l among those with an index of their own; `shared` are the dimensions that share it.
template <typename T, bool kNumber>
struct ScatterRows {
  using Value = T;
  ScatterOp op;
  ReduceAxes own, shared;
  Indexed d;
  const T* src;
  T* z;
  int64_t limit;  ///< the key of entries outside
  __device__ T read(int64_t entry, int64_t column) const {
    return src[own.at(entry / d.count).x + entry % d.count * d.src_step + shared.at(column).x];
  }
  __device__ T join(T a, T b) const { return joined<T, kNumber>(op, a, b); }
  __device__ void put(int64_t key, int64_t column, T v) const {
    if (key >= limit) return;
    T& into = z[own.at(key / d.places).y + key % d.places * d.z_step + shared.at(column).y];
    into = joined<T, kNumber>(op, into, v);
  }
};

__global__ void scatter_keys(ReduceAxes own, int64_t entries, Indexed d, const int64_t* index, int64_t limit, int64_t* keys) {
  for (int64_t i = thread_index(); i < entries; i += grid_threads()) {
    int64_t line = i / d.count, place = index[own.at(line).shift + i % d.count * d.index_step];
    keys[i] = place < 0 || place >= d.places ? limit : line * d.places + place;
  }
}

template <typename T, bool kNumber>
void scatter_typed(ScatterOp op, int dim, const Tensor& index, const Tensor& src, Tensor& z) {
  Indexed d{index.shape()[dim], index.strides()[dim], src.strides()[dim], z.strides()[dim], z.shape()[dim]};
  ReduceAxes lines, own, shared;
  for (int i = 0; i < index.rank(); ++i) {
    if (i == dim) continue;
    ReduceAxis axis{index.shape()[i], src.strides()[i], z.strides()[i], index.strides()[i]};
    lines.add(axis);
    (axis.shift == 0 ? shared : own).add(axis);
  }
  const auto* places = static_cast<const int64_t*>(index.raw_data());
  const T* from = static_cast<const T*>(src.raw_data());
  T* into = static_cast<T*>(z.raw_data());
  int64_t count = lines.count();
  constexpr int64_t kEnough = 1 << 15;  // lines that fill the GPU
  if (d.count <= 16 || count >= kEnough) {
    launch(scatter_lines<T, kNumber>, grid_for(count), op, lines, count, count < int64_t{1} << 31, d, places, from, into);
    return;
  }
  int64_t entries = own.count() * d.count, limit = own.count() * d.places;
  Scratch<int64_t> keys(entries);
  launch(scatter_keys, grid_for(entries), own, entries, d, places, limit, keys.data());
  join_segments(ScatterRows<T, kNumber>{op, own, shared, d, from, into, limit}, keys.data(), entries, limit + 1, shared.count());
}

void scatter(ScatterOp op, int dim, const Tensor& index, const Tensor& src, Tensor& z) {
  if (index.numel() == 0) return;
  if (op == ScatterOp::copy) {
    switch (item_size(z.dtype())) {
      case 8: return scatter_typed<uint64_t, false>(op, dim, index, src, z);
      case 4: return scatter_typed<uint32_t, false>(op, dim, index, src, z);
      case 2: return scatter_typed<uint16_t, false>(op, dim, index, src, z);
      default: return scatter_typed<uint8_t, false>(op, dim, index, src, z);
    }
  }
  switch (z.dtype()) {
    case DType::f64: return scatter_typed<double, true>(op, dim, index, src, z);
    case DType::f32: return scatter_typed<float, true>(op, dim, index, src, z);
    case DType::i64: return scatter_typed<int64_t, true>(op, dim, index, src, z);
    default: unsupported_dtype("scatter", z.dtype());
  }
}

// -- checks and masks --------------------------------------------------------------------------------------------------------------------

__global__ void check_elements(Elements<1> elements, RangeCheck range) {
  std::byte* at[1];
  for (int64_t i = thread_index(); i < elements.count; i += grid_threads()) {
    elements.locate(static_cast<uint32_t>(i), at);
    range.outside(*reinterpret_cast<const int64_t*>(at[0]));
  }
}

void check_index(const char* op, const Tensor& index, int64_t low, int64_t high, bool& found, int64_t&) {
  found = false;  // the host does not wait: what the kernel finds is thrown later
  if (index.numel() == 0) return;
  RangeCheck range = range_check(op, "index", low, high);
  detail::for_each_piece(cpu_kernels::strided_loop<1>({&index}), [&](const cpu_kernels::StridedLoop<1>& piece) {
    auto elements = detail::elements_of<1>(piece, {8}, 1);
    launch(check_elements, grid_for(elements.count), elements, range);
  });
}

using Trues = RuleOp<reducing::Sum<int64_t>, uint8_t, int64_t>;
const uint8_t* bytes_of(const Tensor& mask) { return static_cast<const uint8_t*>(mask.raw_data()); }

void count_true(const Tensor& mask, int64_t& count) {
  Scratch<int64_t> total(1);
  ReduceAxes all;
  all.add({mask.numel(), 1, 0, 0});
  reduce_axes(Trues{bytes_of(mask), nullptr, total.data(), i64}, {}, all);
  count = read_back(total.data());
}

constexpr int kMaskThreads = 256, kMaskItems = 8, kMaskTile = kMaskThreads * kMaskItems;

// A block finds the places of its tile, 8 neighbours a thread; starts[block] of them lie before it. Without starts, it counts them.
__global__ void __launch_bounds__(kMaskThreads)
    places_of_tile(const uint8_t* mask, int64_t n, int64_t* counts, const int64_t* starts, int64_t* places) {
  int64_t first = blockIdx.x * int64_t{kMaskTile} + threadIdx.x * int64_t{kMaskItems};
  int mine = 0, total;
  for (int j = 0; j < kMaskItems; ++j) mine += first + j < n && mask[first + j] ? 1 : 0;
  int before = count_before(mine, total);
  if (!starts) {
    if (threadIdx.x == 0) counts[blockIdx.x] = total;
    return;
  }
  int64_t at = starts[blockIdx.x] + before;
  for (int j = 0; j < kMaskItems; ++j)
    if (first + j < n && mask[first + j]) places[at++] = first + j;
}

void true_places(const Tensor& mask, Tensor& places) {
  int64_t n = mask.numel(), tiles = pieces(n, kMaskTile);
  if (places.numel() == 0) return;
  Scratch<int64_t> starts(tiles);
  Grid grid{dim3(static_cast<unsigned>(tiles)), dim3(kMaskThreads)};
  launch(places_of_tile, grid, bytes_of(mask), n, starts.data(), nullptr, nullptr);
  prefix_sums(starts, 1, tiles);
  launch(places_of_tile, grid, bytes_of(mask), n, nullptr, starts.data(), places.data<int64_t>());
}

}  // namespace

void register_index() {
  kernel::gather.set(DeviceType::cuda, gather);
  kernel::scatter.set(DeviceType::cuda, scatter);
  kernel::check_index.set(DeviceType::cuda, check_index);
  kernel::count_true.set(DeviceType::cuda, count_true);
  kernel::true_places.set(DeviceType::cuda, true_places);
}

}  // namespace plumb::cuda_backend

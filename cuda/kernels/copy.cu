// Moving, converting and filling elements; copies between the host and devices. Bytes: read once, write once.
#include "cuda/kernels/elementwise.h"
#include "cuda/runtime/device.h"
#include "cuda/runtime/graph.h"
#include "cuda/runtime/memory.h"
#include "cuda/runtime/stream.h"
#include "cuda/runtime/upload.h"
#include "engine/core/data_kernels.h"

namespace plumb::cuda_backend {
namespace {

// -- a transposing copy -------------------------------------------------------------------------------------------------------------
// dst is dense along its columns, src along its rows. A block turns a tile of 32 × 32 elements in shared memory, so that a warp reads and
// writes 32 neighbours; rows of the tile are one element longer, so that a column lies in 32 different banks. 32 × 8 threads, 4 elements
// each: 8 blocks a multiprocessor, 33 KB of its shared memory for f32.
constexpr int kTile = 32, kTileRows = 8;

template <typename T>
__global__ void transpose_tiles(Elements<2> planes, int64_t rows, int64_t columns, int64_t src_column, int64_t dst_row) {
  __shared__ T tile[kTile][kTile + 1];
  std::byte* at[2];
  planes.locate(blockIdx.z, at);
  T* dst = reinterpret_cast<T*>(at[0]);
  const T* src = reinterpret_cast<const T*>(at[1]);
  int64_t row0 = int64_t{blockIdx.y} * kTile, column0 = int64_t{blockIdx.x} * kTile;
  for (int c = static_cast<int>(threadIdx.y); c < kTile; c += kTileRows) {
    int64_t row = row0 + threadIdx.x, column = column0 + c;
    if (row < rows && column < columns) tile[c][threadIdx.x] = src[row + column * src_column];
  }
  __syncthreads();
  for (int r = static_cast<int>(threadIdx.y); r < kTile; r += kTileRows) {
    int64_t row = row0 + r, column = column0 + threadIdx.x;
    if (row < rows && column < columns) dst[row * dst_row + column] = tile[threadIdx.x][r];
  }
}

// Whether the copy's two innermost dimensions are a transposed plane worth tiling; if so, it is done.
template <typename T>
bool copy_transposed(const cpu_kernels::StridedLoop<2>& loop) {
  constexpr auto width = static_cast<int64_t>(sizeof(T));
  if (loop.rank < 2) return false;
  auto column = static_cast<size_t>(loop.rank - 1), row = column - 1;
  int64_t rows = loop.sizes[row], columns = loop.sizes[column], planes = loop.count / (rows * columns);
  int64_t row_tiles = (rows + kTile - 1) / kTile, column_tiles = (columns + kTile - 1) / kTile;
  bool fits = loop.strides[column][0] == width && loop.strides[row][1] == width && rows >= 8 && columns >= 8 && planes <= 65535 &&
              row_tiles <= 65535;
  if (!fits) return false;
  cpu_kernels::StridedLoop<2> outer = loop;
  outer.rank = loop.rank - 2;
  if (outer.rank == 0) {
    outer.rank = 1;
    outer.sizes[0] = 1;
    outer.strides[0] = {0, 0};
  }
  Grid grid{dim3(static_cast<unsigned>(column_tiles), static_cast<unsigned>(row_tiles), static_cast<unsigned>(planes)),
            dim3(kTile, kTileRows)};
  launch(transpose_tiles<T>, grid, detail::elements_of<2>(outer, {width, width}, 1), rows, columns, loop.strides[column][1] / width,
         loop.strides[row][0] / width);
  return true;
}

// -- copies on one device ------------------------------------------------------------------------------------------------------------
struct Same {
  template <typename T> __device__ T operator()(T x) const { return x; }
};

template <typename To>
struct Convert {
  template <typename T>
  __device__ compute_t<To> operator()(T x) const {
    if constexpr (std::is_same_v<To, bool>) return x != 0;
    else if constexpr (std::is_same_v<To, uint8_t> && std::is_floating_point_v<T>)
      return static_cast<To>(static_cast<int32_t>(x));  // as on the CPU: −1 is 255, not 0
    else return static_cast<compute_t<To>>(x);
  }
};

// Elements are moved, not computed with: only their size matters.
template <typename T>
void copy_same(const Tensor& src, Tensor& dst) {
  auto loop = cpu_kernels::strided_loop<2>({&dst, &src});
  if (loop.count == 0 || copy_transposed<T>(loop)) return;
  elementwise<T, T>(Same(), dst, src);
}

void copy_within(const Tensor& src, Tensor& dst) {
  if (src.dtype() == dst.dtype()) {
    switch (item_size(src.dtype())) {
      case 8: return copy_same<uint64_t>(src, dst);
      case 4: return copy_same<uint32_t>(src, dst);
      case 2: return copy_same<uint16_t>(src, dst);
      default: return copy_same<uint8_t>(src, dst);
    }
  }
  visit_dtype(src.dtype(),
              [&]<typename From>() { visit_dtype(dst.dtype(), [&]<typename To>() { elementwise<To, From>(Convert<To>(), dst, src); }); });
}

// -- copies between devices ------------------------------------------------------------------------------------------------------------
bool on_cpu(const Tensor& x) { return x.device().type == DeviceType::cpu; }

void copy_bytes(const Tensor& src, Tensor& dst) {
  size_t bytes = static_cast<size_t>(src.numel()) * item_size(src.dtype());
  if (on_cpu(dst)) {
    make_current(src.device().index);
    return copy_to_host(dst.raw_data(), src.raw_data(), bytes);
  }
  make_current(dst.device().index);
  if (on_cpu(
          src)) {  // from pageable memory the driver has read the source when the call returns; pinned memory must stay as it is until then
    if (is_capturing()) return upload(dst.raw_data(), src.raw_data(), bytes);
    check(cudaMemcpyAsync(dst.raw_data(), src.raw_data(), bytes, cudaMemcpyHostToDevice, current_stream()), "copy to the GPU");
    return;
  }
  // From another GPU, whose stream must have finished the source, and must not reuse it before it was read. An event is made on the GPU
  // that is current and can be recorded on that GPU's streams alone; waiting for it is possible on any.
  make_current(src.device().index);
  cudaStream_t source = current_stream();
  Event written;
  written.record(source);
  make_current(dst.device().index);
  written.make_wait();
  check(cudaMemcpyPeerAsync(dst.raw_data(), dst.device().index, src.raw_data(), src.device().index, bytes, current_stream()),
        "copy between GPUs");
  Event read;
  read.record();
  read.make_wait(source);
}

// Row-major and of one type before bytes are moved: a conversion happens where the elements are narrower on the way.
void copy_across(const Tensor& src, Tensor& dst) {
  bool narrow_first = item_size(dst.dtype()) < item_size(src.dtype());
  DType between = narrow_first ? dst.dtype() : src.dtype();
  Tensor from = src;
  if (!src.is_contiguous() || src.dtype() != between) {
    from = empty(src.shape(), between, src.device(), "copy");
    kernel::copy(src.device(), src, from);
  }
  if (dst.is_contiguous() && dst.dtype() == between) return copy_bytes(from, dst);
  Tensor to = empty(dst.shape(), between, dst.device(), "copy");
  copy_bytes(from, to);
  kernel::copy(dst.device(), to, dst);
}

void copy(const Tensor& src, Tensor& dst) {
  if (src.numel() == 0) return;
  if (src.device() == dst.device()) copy_within(src, dst);
  else copy_across(src, dst);
}

// -- filling ---------------------------------------------------------------------------------------------------------------------------
template <typename T>
struct Constant {
  T value;
  __device__ compute_t<T> operator()() const { return static_cast<compute_t<T>>(value); }
};

void fill(Scalar value, Tensor& dst) {
  visit_dtype(dst.dtype(), [&]<typename T>() {
    T v;
    if constexpr (std::is_same_v<T, bool>) v = value.value() != 0;
    else if constexpr (std::is_integral_v<T>) v = static_cast<T>(value.integer());
    else v = static_cast<T>(static_cast<compute_t<T>>(value.value()));
    elementwise<T>(Constant<T>{v}, dst);
  });
}

}  // namespace

void register_copy() {
  kernel::copy.set(DeviceType::cuda, copy);
  kernel::fill.set(DeviceType::cuda, fill);
}

}  // namespace plumb::cuda_backend

// Sorting and searching on the GPU, by entries of key and place. Rows of up to 2048 elements are sorted in shared memory, a block each
// (bitonic: exchanges of a fixed pattern); longer ones by the radix sort of radix_sort.h. The first k of a long row come without sorting
// it: its bytes, the highest first, say below which key they lie.
// Bytes: a short row is read and written once. Top k: a row is read once a byte of its keys and once more, after the first time from L2.
#include "ops/kernels/sort.h"

#include <bit>

#include "cuda/kernels/prefix.h"
#include "cuda/kernels/radix_sort.h"
#include "cuda/kernels/sort.h"
#include "cuda/runtime/launch.h"
#include "engine/core/tensor.h"

namespace plumb::cuda_backend {
namespace {

using sorting::Entry;
using sorting::key_of;

constexpr int64_t kShortRow = 2048;

// Ascending order of e[0, n), n a power of two, by all threads of the block.
template <typename E>
__device__ void sort_shared(E* e, int n) {
  for (int run = 2; run <= n; run *= 2)
    for (int distance = run / 2; distance > 0; distance /= 2) {
      __syncthreads();
      for (int pair = static_cast<int>(threadIdx.x); pair < n / 2; pair += static_cast<int>(blockDim.x)) {
        int low = pair / distance * 2 * distance + pair % distance, high = low + distance;
        bool ascending = (low & run) == 0;
        E a = e[low], b = e[high];
        if ((b < a) == ascending) {
          e[low] = b;
          e[high] = a;
        }
      }
    }
  __syncthreads();
}

// An entry after all others.
template <typename E>
__device__ E last_entry(int64_t place) { return E::make(static_cast<typename E::Key>(-1), place); }

// The first k of each row in order, all of it in shared memory. `room` is n rounded up to a power of two.
template <typename T>
__global__ void sort_short_rows(const T* x, int64_t n, int room, int64_t k, bool descending, T* values, int64_t* places) {
  auto* e = dynamic_shared<Entry<T>>();
  const T* row = x + blockIdx.x * n;
  for (int64_t i = threadIdx.x; i < room; i += blockDim.x)
    e[i] = i < n ? Entry<T>::make(key_of(row[i], descending), i) : last_entry<Entry<T>>(i);
  sort_shared(e, room);
  for (int64_t i = threadIdx.x; i < k; i += blockDim.x) {
    places[blockIdx.x * k + i] = e[i].place();
    values[blockIdx.x * k + i] = row[e[i].place()];
  }
}

template <typename T>
__global__ void make_row_entries(const T* x, int64_t rows, int64_t n, bool descending, Entry<T>* e) {
  for (int64_t i = thread_index(); i < rows * n; i += grid_threads()) e[i] = Entry<T>::make(key_of(x[i], descending), i % n);
}
template <typename T>
__global__ void take_row_entries(const T* x, const Entry<T>* e, int64_t rows, int64_t n, int64_t k, T* values, int64_t* places) {
  for (int64_t i = thread_index(); i < rows * k; i += grid_threads()) {
    int64_t row = i / k, place = e[row * n + i % k].place();
    places[i] = place;
    values[i] = x[row * n + place];
  }
}

constexpr int kSelectThreads = 512;
constexpr int64_t kMostSelected = 2048;

// The digit of the `wanted`-th entry, counted from 1, in counts[256]; `wanted` ← which among those with that digit it is. Shared results.
__device__ inline int digit_of_rank(const int* counts, int64_t& wanted) {
  __shared__ int digit;
  __shared__ int64_t below;
  int mine = threadIdx.x < 256 ? counts[threadIdx.x] : 0, total, before = count_before(mine, total);
  if (before < wanted && wanted <= before + mine) {
    digit = static_cast<int>(threadIdx.x);
    below = before;
  }
  __syncthreads();
  wanted -= below;
  int found = digit;
  __syncthreads();
  return found;
}

// A block a row: the key of the k-th entry byte by byte, then everything below it, and of its equals the first.
template <typename T>
__global__ void __launch_bounds__(kSelectThreads)
    select_rows(const T* x, int64_t n, int64_t k, int room, bool descending, T* values, int64_t* places) {
  using E = Entry<T>;
  using Key = typename E::Key;
  __shared__ int counts[256];
  __shared__ int taken;
  E* e = dynamic_shared<E>();
  const T* row = x + blockIdx.x * n;
  Key prefix = 0, mask = 0;
  int64_t wanted = k;
  int equals = 0;
  for (int byte = static_cast<int>(sizeof(T)) - 1; byte >= 0; --byte) {
    if (threadIdx.x < 256) counts[threadIdx.x] = 0;
    __syncthreads();
    for (int64_t i = threadIdx.x; i < n; i += kSelectThreads) {
      Key key = key_of(row[i], descending);
      if ((key & mask) == prefix) atomicAdd(&counts[key >> (8 * byte) & 255], 1);
    }
    __syncthreads();
    int digit = digit_of_rank(counts, wanted);
    equals = counts[digit];
    prefix |= static_cast<Key>(digit) << (8 * byte);
    mask |= Key{255} << (8 * byte);
    __syncthreads();
  }
  if (threadIdx.x == 0) taken = 0;
  for (int64_t i = threadIdx.x; i < room; i += kSelectThreads) e[i] = last_entry<E>(static_cast<int64_t>(0xffffffff));
  __syncthreads();
  bool all_equals = equals == wanted;
  for (int64_t i = threadIdx.x; i < n; i += kSelectThreads) {  // in any order: they are sorted below
    Key key = key_of(row[i], descending);
    if (key < prefix || (all_equals && key == prefix)) e[atomicAdd(&taken, 1)] = E::make(key, i);
  }
  if (!all_equals) {
    int64_t seen = 0;
    for (int64_t first = 0; first < n && seen < wanted; first += kSelectThreads) {
      int64_t i = first + threadIdx.x;
      bool equal = i < n && key_of(row[i], descending) == prefix;
      int total, before = count_before(equal, total);
      if (equal && seen + before < wanted) e[k - wanted + seen + before] = E::make(prefix, i);
      seen += total;
    }
  }
  sort_shared(e, room);
  for (int64_t i = threadIdx.x; i < k; i += kSelectThreads) {
    places[blockIdx.x * k + i] = e[i].place();
    values[blockIdx.x * k + i] = row[e[i].place()];
  }
}

template <typename T>
__global__ void search_sorted(const T* sorted, int64_t n, const T* wanted, int64_t count, int64_t per_row, bool right, int64_t* places) {
  for (int64_t i = thread_index(); i < count; i += grid_threads()) {
    const T* row = sorted + i / per_row * n;
    auto key = key_of(wanted[i], false);
    int64_t low = 0, high = n;  // the answer is in [low, high]
    while (low < high) {
      int64_t middle = low + (high - low) / 2;
      auto there = key_of(row[middle], false);
      bool before = right ? there <= key : there < key;
      low = before ? middle + 1 : low;
      high = before ? high : middle;
    }
    places[i] = low;
  }
}

template <typename F>
void visit_sortable(DType t, F&& f) {
  visit_dtype(t, [&]<typename T>() {
    if constexpr (std::is_same_v<T, bool>) unsupported_dtype("sort", t);
    else f.template operator()<T>();
  });
}

// The first k of each row in order.
template <typename T>
void first_of_rows(const T* x, int64_t rows, int64_t n, int64_t k, bool descending, T* values, int64_t* places) {
  using E = Entry<T>;
  if (n <= kShortRow) {
    auto room = static_cast<int>(std::bit_ceil(static_cast<uint64_t>(n)));
    int threads = std::clamp(room / 2, 32, 512);
    return launch(sort_short_rows<T>,
                  Grid{dim3(static_cast<unsigned>(rows)), dim3(static_cast<unsigned>(threads)), static_cast<size_t>(room) * sizeof(E)}, x,
                  n, room, k, descending, values, places);
  }
  bool worth_sorting = k > kMostSelected || (rows < 16 && n >= int64_t{1} << 20);
  if (!worth_sorting) {
    auto room = static_cast<int>(std::bit_ceil(static_cast<uint64_t>(k)));
    return launch(select_rows<T>, Grid{dim3(static_cast<unsigned>(rows)), dim3(kSelectThreads), static_cast<size_t>(room) * sizeof(E)}, x,
                  n, k, room, descending, values, places);
  }
  Scratch<E> a(rows * n), b(rows * n);
  launch(make_row_entries<T>, grid_for(rows * n), x, rows, n, descending, a.data());
  const E* sorted = sort_entries<E>(a, b, rows, n, static_cast<int>(sizeof(T)));
  launch(take_row_entries<T>, grid_for(rows * k), x, sorted, rows, n, k, values, places);
}

void sort(const Tensor& x, bool descending, Tensor& values, Tensor& indices) {
  if (x.numel() == 0) return;
  int64_t n = x.shape()[1];
  visit_sortable(x.dtype(), [&]<typename T>() {
    first_of_rows(x.data<T>(), x.shape()[0], n, n, descending, values.data<T>(), indices.data<int64_t>());
  });
}
void topk(const Tensor& x, int64_t k, bool descending, Tensor& values, Tensor& indices) {
  if (values.numel() == 0) return;
  visit_sortable(x.dtype(), [&]<typename T>() {
    first_of_rows(x.data<T>(), x.shape()[0], x.shape()[1], k, descending, values.data<T>(), indices.data<int64_t>());
  });
}

void searchsorted(const Tensor& sorted, const Tensor& wanted, bool right, Tensor& places) {
  int64_t rows = sorted.shape()[0], count = wanted.numel();
  visit_sortable(sorted.dtype(), [&]<typename T>() {
    launch(search_sorted<T>, grid_for(count), sorted.data<T>(), sorted.shape()[1], wanted.data<T>(), count,
           count / std::max<int64_t>(1, rows), right, places.data<int64_t>());
  });
}

}  // namespace

void smallest_of_rows(const double* x, int64_t rows, int64_t n, int64_t k, double* values, int64_t* places) {
  if (rows > 0 && k > 0) first_of_rows(x, rows, n, k, false, values, places);
}

void register_sort() {
  kernel::sort.set(DeviceType::cuda, sort);
  kernel::topk.set(DeviceType::cuda, topk);
  kernel::searchsorted.set(DeviceType::cuda, searchsorted);
}

}  // namespace plumb::cuda_backend

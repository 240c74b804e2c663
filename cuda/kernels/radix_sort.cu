// Radix sort on the GPU. A pass over one byte: tiles of 2048 entries count their digits, the counts of a digit are summed over the tiles,
// and every tile puts its entries where those sums say. Within a tile a warp takes 256 neighbours, 32 at a time: lanes with equal digits
// find each other by eight votes and rank themselves, so that the order among equals is kept without atomics.
// Bytes a pass: an entry read twice and written once, 24 (48 for 64-bit keys), in runs of some 64 bytes. Bound: memory.
#include "cuda/kernels/radix_sort.h"

#include <bit>

#include "cuda/kernels/prefix.h"
#include "cuda/runtime/launch.h"

namespace plumb::cuda_backend {
namespace {

constexpr int kThreads = 256, kWarps = kThreads / kWarp, kDigits = 256, kItems = 8, kTile = kThreads * kItems;

// counts[row, digit, tile] ← how many entries of the tile have the digit.
template <typename E>
__global__ void __launch_bounds__(kThreads) count_digits(const E* entries, int64_t n, int64_t tiles, int byte, int64_t* counts) {
  __shared__ int of_digit[kDigits];
  of_digit[threadIdx.x] = 0;
  __syncthreads();
  int64_t row = blockIdx.x / tiles, tile = blockIdx.x % tiles, first = tile * kTile, last = first + kTile < n ? first + kTile : n;
  for (int64_t i = first + threadIdx.x; i < last; i += kThreads) atomicAdd(&of_digit[entries[row * n + i].digit(byte)], 1);
  __syncthreads();
  counts[(row * kDigits + threadIdx.x) * tiles + tile] = of_digit[threadIdx.x];
}

// Lanes of this warp that are `inside` and have the same digit.
__device__ inline uint32_t lanes_alike(int digit, bool inside) {
  uint32_t alike = ballot(inside);
#pragma unroll
  for (int bit = 0; bit < 8; ++bit) {
    bool set = digit >> bit & 1;
    uint32_t votes = ballot(set);
    alike &= set ? votes : ~votes;
  }
  return alike;
}

// starts[row, digit, tile]: entries of the row with a smaller digit, or the same in an earlier tile.
template <typename E>
__global__ void __launch_bounds__(kThreads)
    place_entries(const E* entries, int64_t n, int64_t tiles, int byte, const int64_t* starts, E* to) {
  __shared__ int of_warp[kWarps][kDigits];
  for (int w = 0; w < kWarps; ++w) of_warp[w][threadIdx.x] = 0;
  __syncthreads();
  int64_t row = blockIdx.x / tiles, tile = blockIdx.x % tiles, first = tile * kTile + warp_index() * (kWarp * kItems);
  int* counts = of_warp[warp_index()];
  int rank[kItems], digits[kItems];
#pragma unroll
  for (int j = 0; j < kItems; ++j) {  // the rank of an entry among those of its warp with its digit
    int64_t i = first + j * kWarp + lane_index();
    bool inside = i < n;
    int digit = inside ? entries[row * n + i].digit(byte) : 0;
    uint32_t alike = lanes_alike(digit, inside), before = alike & ((1u << lane_index()) - 1);
    rank[j] = counts[digit] + __popc(before);
    digits[j] = digit;
    sync_warp();
    if (inside && before == 0) counts[digit] += __popc(alike);
    sync_warp();
  }
  __syncthreads();
  int sum = 0;
  for (int w = 0; w < kWarps; ++w) {
    int count = of_warp[w][threadIdx.x];
    of_warp[w][threadIdx.x] = sum;
    sum += count;
  }
  __syncthreads();
#pragma unroll
  for (int j = 0; j < kItems; ++j) {
    int64_t i = first + j * kWarp + lane_index();
    if (i >= n) continue;
    int64_t at = starts[(row * kDigits + digits[j]) * tiles + tile] + counts[digits[j]] + rank[j];
    to[row * n + at] = entries[row * n + i];
  }
}

template <typename E>
__global__ void make_entries(const int64_t* keys, int64_t n, E* entries) {
  for (int64_t i = thread_index(); i < n; i += grid_threads()) entries[i] = E::make(static_cast<typename E::Key>(keys[i]), i);
}
template <typename E>
__global__ void split_entries(const E* entries, int64_t n, int64_t* keys, int64_t* places) {
  for (int64_t i = thread_index(); i < n; i += grid_threads()) {
    keys[i] = static_cast<int64_t>(entries[i].number());
    places[i] = entries[i].place();
  }
}

template <typename E>
void sort_keys_as(int64_t* keys, int64_t* places, int64_t n, int bytes) {
  Scratch<E> a(n), b(n);
  launch(make_entries<E>, grid_for(n), keys, n, a.data());
  launch(split_entries<E>, grid_for(n), sort_entries<E>(a, b, 1, n, bytes), n, keys, places);
}

}  // namespace

template <typename E>
E* sort_entries(E* entries, E* scratch, int64_t rows, int64_t n, int bytes) {
  if (rows == 0 || n == 0) return entries;
  int64_t tiles = pieces(n, kTile);
  Scratch<int64_t> counts(rows * kDigits * tiles);
  Grid grid{dim3(static_cast<unsigned>(rows * tiles)), dim3(kThreads)};
  for (int byte = 0; byte < bytes; ++byte) {
    launch(count_digits<E>, grid, entries, n, tiles, byte, counts.data());
    prefix_sums(counts, rows, kDigits * tiles);
    launch(place_entries<E>, grid, entries, n, tiles, byte, counts.data(), scratch);
    std::swap(entries, scratch);
  }
  return entries;
}
template Narrow* sort_entries(Narrow*, Narrow*, int64_t, int64_t, int);
template Wide* sort_entries(Wide*, Wide*, int64_t, int64_t, int);

void sort_by_key(int64_t* keys, int64_t* places, int64_t n, int64_t limit) {
  if (n == 0) return;
  int bytes = static_cast<int>(pieces(std::bit_width(static_cast<uint64_t>(limit > 0 ? limit - 1 : 0)), 8));
  bool narrow = bytes <= 4 && n < int64_t{1} << 32;
  narrow ? sort_keys_as<Narrow>(keys, places, n, bytes) : sort_keys_as<Wide>(keys, places, n, bytes);
}

}  // namespace plumb::cuda_backend

// Permutations and draws of classes on the GPU. A permutation sorts random keys, the same as on the CPU. Classes are drawn by searching the
// running sums of their weights, or without replacement as the first of a race of exponential numbers; weights are f64, so the CPU's draws
// come out but where a number falls within rounding of a boundary. The host waits to hear whether every row has a distribution.
#include <limits>

#include "cuda/kernels/radix_sort.h"
#include "cuda/kernels/row.h"
#include "cuda/kernels/sort.h"
#include "cuda/runtime/random_place.h"
#include "engine/core/generator.h"
#include "engine/core/tensor.h"
#include "ops/random_functions.h"

namespace plumb::cuda_backend {
namespace {

struct WordPair {
  uint32_t high, low;
};
// The two words of number i of a draw that takes two words a number.
__device__ inline WordPair word_pair(DevicePlace place, int64_t i) {
  auto words = philox(place.seed, place.first() + static_cast<uint64_t>(i) / 2);
  return i % 2 == 0 ? WordPair{words[0], words[1]} : WordPair{words[2], words[3]};
}

__global__ void random_keys(DevicePlace place, int64_t n, Wide* entries) {
  for (int64_t i = thread_index(); i < n; i += grid_threads()) {
    WordPair w = word_pair(place, i);
    entries[i] = Wide::make(uint64_t{w.high} << 32 | w.low, i);
  }
}
__global__ void places_of_entries(const Wide* entries, int64_t n, int64_t* places) {
  for (int64_t i = thread_index(); i < n; i += grid_threads()) places[i] = entries[i].place();
}

void permutation(RandomPlace place, Tensor& out) {
  int64_t n = out.numel();
  Scratch<Wide> a(n), b(n);
  launch(random_keys, grid_for(n), device_place(place), n, a.data());
  launch(places_of_entries, grid_for(n), sort_entries<Wide>(a, b, 1, n, 8), n, out.data<int64_t>());
}

// A block a row: its weights in f64, and in `bad` the first row from which `distinct` classes cannot be drawn.
template <typename T>
__global__ void __launch_bounds__(kRowThreads)
    row_weights(const T* x, int64_t classes, bool logits, int64_t distinct, double* weights, unsigned long long* bad) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  const T* row = x + blockIdx.x * classes;
  double* to = weights + blockIdx.x * classes;
  double highest = -kInfinity;
  int unusable = 0;
  for (int64_t c = threadIdx.x; c < classes; c += blockDim.x) {
    double w = static_cast<double>(load(row[c]));
    if (w != w || w == kInfinity || (!logits && w < 0)) unusable = 1;
    if (w > highest) highest = w;
  }
  unusable = __syncthreads_or(unusable);
  highest = block_max(highest, -kInfinity);
  double possible = 0;
  for (int64_t c = threadIdx.x; c < classes; c += blockDim.x) {
    double w = static_cast<double>(load(row[c]));
    if (logits) w = std::exp(w - highest);
    if (w > 0) possible += 1;
    to[c] = w;
  }
  possible = block_sum(possible);
  bool usable = !unusable && possible >= static_cast<double>(distinct) && !(logits && highest == -kInfinity);
  if (threadIdx.x == 0 && !usable) atomicMin(bad, static_cast<unsigned long long>(blockIdx.x));
}

// The first class whose cumulative weight exceeds u · total.
__global__ void draw_with_replacement(DevicePlace place, const double* sums, int64_t rows, int64_t classes, int64_t samples, int64_t* out) {
  for (int64_t i = thread_index(); i < rows * samples; i += grid_threads()) {
    const double* row = sums + i / samples * classes;
    WordPair w = word_pair(place, i);
    double total = row[classes - 1], target = random::unit(w.high, w.low) * total;
    bool beyond = target >= total;  // rounded up to the total: then the first class that reaches it
    int64_t low = 0, high = classes;
    while (low < high) {
      int64_t middle = low + (high - low) / 2;
      bool before = beyond ? row[middle] < total : row[middle] <= target;
      low = before ? middle + 1 : low;
      high = before ? high : middle;
    }
    out[i] = low < classes ? low : classes - 1;
  }
}

// weights ← E_c / weight_c: the classes of the smallest are drawn.
__global__ void race(DevicePlace place, int64_t n, double* weights) {
  for (int64_t i = thread_index(); i < n; i += grid_threads()) {
    WordPair w = word_pair(place, i);
    weights[i] = weights[i] > 0 ? random::exponential(w.high, w.low) / weights[i] : std::numeric_limits<double>::infinity();
  }
}

void categorical(RandomPlace place, const Tensor& weights, bool logits, bool replacement, Tensor& out, int64_t& bad_row) {
  int64_t rows = weights.shape()[0], classes = weights.shape()[1], samples = out.shape()[1], n = rows * classes;
  bad_row = -1;
  if (rows == 0) return;
  Scratch<double> numbers(n);
  Scratch<unsigned long long> bad(1);
  check(cudaMemsetAsync(bad.data(), 0xff, sizeof(unsigned long long), current_stream()), "categorical");
  visit_floating("categorical", weights.dtype(), [&]<typename T>() {
    launch(row_weights<T>, Grid{dim3(static_cast<unsigned>(rows)), dim3(kRowThreads)}, weights.data<T>(), classes, logits,
           replacement ? 1 : samples, numbers.data(), bad.data());
  });
  auto* y = out.data<int64_t>();
  if (out.numel() > 0) {
    if (replacement) {
      running_sums(numbers, rows, classes);
      launch(draw_with_replacement, grid_for(rows * samples), device_place(place), numbers.data(), rows, classes, samples, y);
    } else if (samples <= classes) {
      Scratch<double> times(rows * samples);
      launch(race, grid_for(n), device_place(place), n, numbers.data());
      smallest_of_rows(numbers, rows, classes, samples, times, y);
    }
  }
  unsigned long long found = read_back(bad.data());
  if (found != ~0ULL) bad_row = static_cast<int64_t>(found);
}

}  // namespace

void register_random_choice() {
  kernel::permutation.set(DeviceType::cuda, permutation);
  kernel::categorical.set(DeviceType::cuda, categorical);
}

}  // namespace plumb::cuda_backend

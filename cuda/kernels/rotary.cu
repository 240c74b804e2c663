// Rotary embeddings: pairs of x [N, T, D] turned by an angle of the position alone. A block takes one position t, works out its D / 2 sines
// and cosines (in f64, as the CPU does) into shared memory, and turns the pairs of many of the N rows with them.
// Bytes: x read once, y written once, in pieces of a row (D elements); the sines cost D / 2 evaluations for each kRows rows of D.
#include <algorithm>
#include <cmath>

#include "cuda/runtime/launch.h"
#include "ops/kernels/attention.h"

namespace plumb::cuda_backend {
namespace {

constexpr int kRotaryThreads = 256;
constexpr int64_t kRows = 64;  // of one position a block
constexpr int kInlinePairs = 256;

// Frequencies travel with the launch: no copy to the device, nothing to keep alive.
struct Frequencies {
  double value[kInlinePairs];
};

template <typename T>
__global__ void __launch_bounds__(kRotaryThreads)
    rotary_kernel(const T* x, const int64_t* positions, Frequencies frequencies, int first_pair, int pairs, int half, bool interleaved,
                  double sign, int64_t rows, int64_t length, T* y) {
  using C = compute_t<T>;
  C *cosine = dynamic_shared<C>(), *sine = cosine + pairs;
  const int64_t t = static_cast<int64_t>(blockIdx.x) % length, begin = static_cast<int64_t>(blockIdx.x) / length * kRows;
  const int64_t end = begin + kRows < rows ? begin + kRows : rows;
  for (int i = threadIdx.x; i < pairs; i += kRotaryThreads) {
    const double angle = sign * static_cast<double>(positions[t]) * frequencies.value[i];
    cosine[i] = static_cast<C>(std::cos(angle));
    sine[i] = static_cast<C>(std::sin(angle));
  }
  __syncthreads();
  for (int64_t n = threadIdx.x; n < (end - begin) * pairs; n += kRotaryThreads) {
    const int64_t row = ((begin + n / pairs) * length + t) * 2 * half;
    const int pair = static_cast<int>(n % pairs), i = first_pair + pair;
    const int64_t first = row + (interleaved ? 2 * i : i), second = row + (interleaved ? 2 * i + 1 : i + half);
    const C a = static_cast<C>(x[first]), b = static_cast<C>(x[second]), c = cosine[pair], s = sine[pair];
    y[first] = static_cast<T>(a * c - b * s);
    y[second] = static_cast<T>(a * s + b * c);
  }
}

// Widths above 512 take several launches, each with its share of the frequencies.
void rotary(const Tensor& x, const Tensor& positions, const std::vector<double>& frequencies, bool interleaved, double sign, Tensor& y) {
  const int64_t rows = x.size(0), length = x.size(1);
  const int half = static_cast<int>(x.size(2) / 2);
  if (x.numel() == 0) return;
  visit_floating("rotary", x.dtype(), [&]<typename T>() {
    for (int first = 0; first < half; first += kInlinePairs) {
      const int pairs = std::min(kInlinePairs, half - first);
      Frequencies some;
      std::copy_n(frequencies.begin() + first, pairs, some.value);
      const int64_t blocks = length * ((rows + kRows - 1) / kRows);
      const Grid grid{dim3(static_cast<unsigned>(blocks)), dim3(kRotaryThreads), 2 * sizeof(compute_t<T>) * static_cast<size_t>(pairs)};
      launch(rotary_kernel<T>, grid, x.data<T>(), positions.data<int64_t>(), some, first, pairs, half, interleaved, sign, rows, length,
             y.data<T>());
    }
  });
}

}  // namespace

void register_rotary() { kernel::rotary.set(DeviceType::cuda, rotary); }

}  // namespace plumb::cuda_backend

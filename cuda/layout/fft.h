// How lines of a tensor are told to cuFFT. Plain host code, tested without a GPU.
#pragma once
#include <cstdint>

namespace plumb::cuda_layout {

/// `calls` equal transforms of `batch` lines each: element j of line i of call c lies at c · call_distance + i · distance + j · stride.
struct FftLines {
  int64_t calls, batch, stride, distance, call_distance;
  friend bool operator==(const FftLines&, const FftLines&) = default;
};

/// The lines of length n along the middle of [outer, n, inner]. One call takes lines at one distance: all of them if outer or inner is 1,
/// else the inner ones of each outer place.
inline FftLines fft_lines(int64_t outer, int64_t n, int64_t inner) {
  if (inner == 1) return {1, outer, 1, n, 0};
  return {outer, inner, inner, 1, n * inner};
}

/// Whether to bring [outer, n, inner] into the order [outer, inner, n] first, at the price of two copies: better than many small calls, and
/// the later calls of a real transform could begin at addresses that the library does not take.
inline bool fft_transposes(int64_t outer, int64_t inner, bool real) { return inner > 1 && outer > (real ? 1 : 8); }

}  // namespace plumb::cuda_layout

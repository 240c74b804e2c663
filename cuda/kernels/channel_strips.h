// Images with channels last, [planes, places, channels]: two sums of every channel over the places of a plane, and functions of every
// element with parameters of its channel. A thread keeps N neighbouring channels (16 bytes) and goes from place to place, so that what
// belongs to a channel stays in registers; a block takes a strip of channels and several places at a time, whole lines of memory. What is
// long is cut into parts whose sums a second launch joins in a fixed order that depends on the sizes alone. Bytes: the operands once.
// Bound: memory.
#pragma once
#include <algorithm>

#include "cuda/kernels/elements.h"
#include "cuda/runtime/launch.h"
#include "cuda/runtime/memory.h"

namespace plumb::cuda_backend {

inline constexpr int kStripThreads = 256;

/// How the images are cut: blocks of `across` × `depth` threads, `part` places of a plane to a block.
struct ChannelStrips {
  int64_t planes, places, channels;
  int across, depth;
  int64_t strips, part, splits;

  /// For N channels a thread. A thread meets 4 to 64 places: enough to pay for what it loads first, few enough for sums in f32.
  ChannelStrips(int64_t planes, int64_t places, int64_t channels, int n) : planes(planes), places(places), channels(channels) {
    int64_t packs = channels / n;
    across = static_cast<int>(std::min<int64_t>(packs, kStripThreads));
    depth = static_cast<int>(std::clamp<int64_t>(places, 1, kStripThreads / across));
    strips = pieces(packs, across);
    int64_t steps = pieces(places, depth);
    part = depth * std::clamp<int64_t>(pieces(steps * planes * strips, 1024), 4, 64);
    splits = pieces(places, part);
  }
  Grid grid(size_t shared_bytes_a_thread) const {
    unsigned threads = static_cast<unsigned>(across * depth);
    return {dim3(static_cast<unsigned>(planes * splits * strips)), dim3(threads), threads * shared_bytes_a_thread};
  }
};

/// What a thread of block `block` works on: N channels from `channel` on, at the places first, first + depth, … below last.
template <int N>
struct StripPlace {
  int64_t plane, split, channel, first, last;
  int row;
  bool inside;
  __device__ StripPlace(const ChannelStrips& s, unsigned block) {
    const unsigned strips = static_cast<unsigned>(s.strips), splits = static_cast<unsigned>(s.splits), rest = block / strips;
    row = static_cast<int>(threadIdx.x) / s.across;
    channel = (int64_t{block - rest * strips} * s.across + static_cast<int>(threadIdx.x) % s.across) * N;
    inside = channel < s.channels;
    plane = rest / splits;
    split = rest % splits;
    first = split * s.part + row;
    last = (split + 1) * s.part < s.places ? (split + 1) * s.part : s.places;
  }
  /// Where the channels lie at the first place.
  __device__ int64_t at(const ChannelStrips& s) const { return (plane * s.places + first) * s.channels + channel; }
};

template <typename R>
struct ChannelSums {
  R a, b;
};
/// A value for each of N channels.
template <typename C, int N>
struct Kept {
  C v[N];
};
/// Of a gradient and of what it belongs to, N neighbouring channels.
template <typename C, int N>
struct KeptPair {
  C d[N], v[N];
};
template <int N, typename S>
__device__ KeptPair<compute_t<S>, N> read_pair(const S* dy, const S* x, int64_t at) {
  KeptPair<compute_t<S>, N> pair;
  read_pack<N>(dy + at, pair.d);
  read_pack<N>(x + at, pair.v);
  return pair;
}

// Op: Real, the type of the sums; channels<N>(plane, channel), what it keeps of N channels; add(at, kept, a, b), which adds to the two sums
// of each of them what they get from the elements at `at`. partial [planes, splits, channels].
template <typename Op, int N>
__global__ void __launch_bounds__(kStripThreads) strip_sums(Op op, ChannelStrips s, ChannelSums<typename Op::Real>* partial) {
  using R = typename Op::Real;
  const StripPlace<N> t(s, blockIdx.x);
  R a[N] = {}, b[N] = {};
  if (t.inside) {
    const auto kept = op.template channels<N>(t.plane, t.channel);
    int64_t at = t.at(s);
    const int64_t step = s.depth * s.channels;
#pragma unroll 4
    for (int64_t place = t.first; place < t.last; place += s.depth, at += step) op.add(at, kept, a, b);
  }
  auto* rows = dynamic_shared<ChannelSums<R>>();  // [N, threads]: the block's places are joined in pairs
#pragma unroll
  for (int j = 0; j < N; ++j) rows[j * blockDim.x + threadIdx.x] = {a[j], b[j]};
  for (int left = s.depth; left > 1;) {
    const int half = (left + 1) / 2;
    __syncthreads();
    if (t.row < left - half) {
#pragma unroll
      for (int j = 0; j < N; ++j) {
        auto &to = rows[j * blockDim.x + threadIdx.x], &from = rows[j * blockDim.x + threadIdx.x + static_cast<unsigned>(half * s.across)];
        to = {to.a + from.a, to.b + from.b};
      }
    }
    left = half;
  }
  if (t.row != 0 || !t.inside) return;
#pragma unroll
  for (int j = 0; j < N; ++j) partial[(t.plane * s.splits + t.split) * s.channels + t.channel + j] = rows[j * blockDim.x + threadIdx.x];
}

inline constexpr int kTotalChannels = 8, kTotalRows = 64;

// store(channel, sums): the sums in f64 of partial [count, channels] over count. A block takes 8 channels and 64 rows at a time.
template <typename Op, typename R>
__global__ void __launch_bounds__(kTotalChannels* kTotalRows)
    strip_totals(Op op, const ChannelSums<R>* partial, int64_t count, int64_t channels) {
  __shared__ ChannelSums<double> rows[kTotalRows][kTotalChannels];
  const int across = static_cast<int>(threadIdx.x) % kTotalChannels, row = static_cast<int>(threadIdx.x) / kTotalChannels;
  const int64_t channel = static_cast<int64_t>(blockIdx.x) * kTotalChannels + across;
  ChannelSums<double> total{0, 0};
  if (channel < channels) {
#pragma unroll 8
    for (int64_t k = row; k < count; k += kTotalRows) {
      const ChannelSums<R> p = partial[k * channels + channel];
      total = {total.a + static_cast<double>(p.a), total.b + static_cast<double>(p.b)};
    }
  }
  rows[row][across] = total;
  for (int half = kTotalRows / 2; half > 0; half /= 2) {
    __syncthreads();
    if (row < half)
      rows[row][across] = {rows[row][across].a + rows[row + half][across].a, rows[row][across].b + rows[row + half][across].b};
  }
  if (row == 0 && channel < channels) op.store(channel, rows[0][across]);
}

// Op: channels<N>(plane, channel) as above; load<N>(at) gives the operands at `at`, write(at, kept, operands) the result. Blocks begin at
// the end, which the sums before have left in L2; a thread has two places under way.
template <typename Op, int N>
__global__ void __launch_bounds__(kStripThreads) strip_map(Op op, ChannelStrips s) {
  const StripPlace<N> t(s, gridDim.x - 1 - blockIdx.x);
  if (!t.inside) return;
  const auto kept = op.template channels<N>(t.plane, t.channel);
  const int64_t step = s.depth * s.channels;
  int64_t at = t.at(s), place = t.first;
  for (; place + s.depth < t.last; place += 2 * s.depth, at += 2 * step) {
    const auto one = op.template load<N>(at), other = op.template load<N>(at + step);
    op.write(at, kept, one);
    op.write(at + step, kept, other);
  }
  if (place < t.last) op.write(at, kept, op.template load<N>(at));
}

/// Partial sums in `partial`, as many as the returned cut says: [planes, splits, channels]. `packed`: operands allow accesses of 16 bytes.
template <typename S, typename Op>
void launch_strip_sums(const Op& op, const ChannelStrips& s, bool packed, ChannelSums<typename Op::Real>* partial) {
  constexpr int N = kPerAccess<S>;
  const Grid grid = s.grid((packed ? N : 1) * sizeof(ChannelSums<typename Op::Real>));
  packed ? launch(strip_sums<Op, N>, grid, op, s, partial) : launch(strip_sums<Op, 1>, grid, op, s, partial);
}
template <typename Op, typename R>
void launch_strip_totals(const Op& op, const ChannelSums<R>* partial, int64_t count, int64_t channels) {
  launch(strip_totals<Op, R>, {dim3(static_cast<unsigned>(pieces(channels, kTotalChannels))), dim3(kTotalChannels * kTotalRows)}, op,
         partial, count, channels);
}
template <typename S, typename Op>
void launch_strip_map(const Op& op, const ChannelStrips& s, bool packed) {
  constexpr int N = kPerAccess<S>;
  packed ? launch(strip_map<Op, N>, s.grid(0), op, s) : launch(strip_map<Op, 1>, s.grid(0), op, s);
}

/// Whether threads can take packs of channels of these operands, and the cut for that.
template <typename S, typename... Pointers>
bool strips_packed(int64_t channels, const Pointers*... operands) {
  return channels % kPerAccess<S> == 0 && (aligned16(operands) && ...);
}

/// The type of sums of at most 64 places in a thread: f32 for 16-bit elements, else f64.
template <typename S> using StripReal = std::conditional_t<sizeof(S) == 2, float, double>;

}  // namespace plumb::cuda_backend

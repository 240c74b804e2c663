// The adjoint of Winograd's convolution in its weight: per frequency a product of transformed inputs and transformed gradients, summed over
// tiles, then Gᵀ u G. Blocks of tiles are dealt to a number of chunks that the shape alone fixes; each chunk sums its blocks in order, and
// the chunks are added in order: the bits do not depend on threads. Where chunks are few, because a sum is large, threads share out the
// output channels besides, and each transforms the input for itself.
#include "engine/core/parallel.h"
#include "ops/cpu/conv/winograd.h"
#include "ops/cpu/conv/winograd_tiles.h"
#include "ops/cpu/gemm/blocking.h"
#include "ops/cpu/gemm/scratch.h"

namespace plumb::conv {
namespace {

using gemm::ceil_div;

constexpr int64_t kTiles = 64;    // of a block
constexpr int64_t kChunks = 16;   // at most
constexpr int64_t kSumFloats = int64_t{4} << 20;  // of all chunks together, where there are several

template <typename T>
struct Job {
  const WinogradConvolution& p;
  const WinogradTransforms& f;
  const WinogradKernels& kernels;
  const Source<T>&in, &y;
  Tiling tiling;
  int64_t channels, m;  // in whole blocks and panels
  int64_t most_tiles;
  int64_t sum() const { return frequency_step(channels * m); }  // from one frequency's to the next
  int64_t sums() const { return f.frequencies() * sum(); }
};

// Tiles [begin, end) of the cutting, output channels of panels [panel, panel_end).
struct Part {
  int64_t begin, end, panel, panel_end;
};

struct Scratch {
  template <typename T>
  Scratch(const Job<T>& j, int64_t panels)
      : window(j.tiling.images * (j.tiling.rows * j.f.tile + 2) * (j.tiling.columns * j.f.tile + 2) * kLanes),
        v(j.f.frequencies() * frequency_step(j.channels * j.most_tiles)),
        d(j.f.frequencies() * frequency_step(panels * j.kernels.columns * j.most_tiles)) {}
  gemm::Buffer<float> window, v, d;
};

template <typename T>
void transform_input(const Job<T>& j, const Tile& t, Scratch& s) {
  const int m = j.f.tile;
  const int64_t rows = t.rows * m + 2, columns = t.columns * m + 2, tiles = t.places();
  const Places places = places_of(j.in, t.image, t.images, t.y * m - j.p.padding[0], rows, t.x * m - j.p.padding[1], columns);
  std::fill_n(s.window.data(), t.images * rows * columns * kLanes, 0.0f);
  for (int64_t c = 0; c < j.p.channels; c += kLanes) {
    load_places(j.kernels, j.in.data, places, c, std::min(kLanes, j.p.channels - c), s.window.data());
    for_tile_rows(t, m, columns * kLanes, rows * columns * kLanes, [&](int64_t at, int64_t tile) {
      j.f.input(s.window.data() + at, columns * kLanes, t.columns, s.v.data() + c * tiles + tile * kLanes,
                frequency_step(j.channels * tiles));
    });
  }
}

template <typename T>
void transform_gradient(const Job<T>& j, const Tile& t, int64_t channel, int64_t channels, Scratch& s) {
  const int m = j.f.tile;
  const int64_t rows = t.rows * m, columns = t.columns * m, tiles = t.places();
  const Places places = places_of(j.y, t.image, t.images, t.y * m, rows, t.x * m, columns);
  std::fill_n(s.window.data(), t.images * rows * columns * kLanes, 0.0f);
  for (int64_t o = 0; o < channels; o += kLanes) {
    const int64_t count = std::clamp<int64_t>(j.p.m - channel - o, 0, kLanes);
    load_places(j.kernels, j.y.data, places, channel + o, count, s.window.data());
    for_tile_rows(t, m, columns * kLanes, rows * columns * kLanes, [&](int64_t at, int64_t tile) {
      j.f.output_adjoint(s.window.data() + at, columns * kLanes, t.columns, s.d.data() + o * tiles + tile * kLanes,
                         frequency_step(channels * tiles));
    });
  }
}

// sums [frequency, channel, m] of the part, the frequencies sum() apart.
template <typename T>
void sum_part(const Job<T>& j, const Part& part, float* sums) {
  const int64_t width = j.kernels.columns, panels = part.panel_end - part.panel;
  Scratch s(j, panels);
  for (int64_t i = part.begin; i < part.end; ++i) {
    const Tile t = j.tiling[i];
    const int64_t tiles = t.places();
    transform_input(j, t, s);
    transform_gradient(j, t, part.panel * width, panels * width, s);
    for (int64_t f = 0; f < j.f.frequencies(); ++f)
      j.kernels.multiply_adjoint({.tiles = tiles,
                                  .blocks = j.channels / kLanes,
                                  .panels = panels,
                                  .v = s.v.data() + f * frequency_step(j.channels * tiles),
                                  .d = s.d.data() + f * frequency_step(panels * width * tiles),
                                  .u = sums + f * j.sum() + part.panel * width,
                                  .u_row = j.m,
                                  .accumulate = i > part.begin});
  }
}

// weight ← Gᵀ (Σ over chunks) G for 16 × 16 channels.
template <typename T>
void finish_block(const Job<T>& j, int64_t chunks, const float* sums, int64_t channel, int64_t out, T* weight) {
  const int64_t frequencies = j.f.frequencies(), channels = std::min(kLanes, j.p.channels - channel), outs = std::min(kLanes, j.p.m - out);
  alignas(64) float u[36 * kLanes * kLanes], taps[kLanes * 9 * kLanes];
  for (int64_t f = 0; f < frequencies; ++f)
    for (int64_t c = 0; c < kLanes; ++c) {
      const float* from = sums + f * j.sum() + (channel + c) * j.m + out;
      float* to = u + (f * kLanes + c) * kLanes;
      std::copy_n(from, kLanes, to);
      for (int64_t q = 1; q < chunks; ++q)
        for (int64_t l = 0; l < kLanes; ++l) to[l] += from[q * j.sums() + l];
    }
  j.f.weight_adjoint(u, kLanes, kLanes * kLanes, kLanes, taps);
  for (int64_t o = 0; o < outs; ++o)
    for (int64_t i = 0; i < channels * 9; ++i) weight[((out + o) * j.p.channels + channel) * 9 + i] = static_cast<T>(taps[i * kLanes + o]);
}

}  // namespace

template <typename T>
void winograd_weight(const WinogradConvolution& p, const WinogradTransforms& f, const Source<T>& in, const Source<T>& y, T* weight) {
  const WinogradKernels& kernels = *winograd_kernels<T>();
  const TapGrid plain(1, 1, {{0, 0}});
  const int64_t down = ceil_div(p.height, f.tile), across = ceil_div(p.width, f.tile);
  const Tiling tiling(p.batch, down, across, plain, 1, 1, INT64_MAX / 4, kTiles);
  const int64_t panels = ceil_div(p.m, kernels.columns);
  const Job<T> job{
      p, f, kernels, in, y, tiling, blocks_of(p.channels) * kLanes, panels * kernels.columns, tiling.images * tiling.rows * tiling.columns};
  const int64_t chunks =
      std::clamp<int64_t>(std::min(kSumFloats / (f.frequencies() * job.channels * blocks_of(p.m) * kLanes), kChunks), 1, tiling.count);
  const int64_t parts = std::clamp<int64_t>(2 * num_threads() / chunks, 1, panels);
  gemm::Buffer<float> sums(chunks * job.sums());
  parallel_for(chunks * parts, 1, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t chunk = task / parts, part = task % parts;
      sum_part(job,
               {tiling.count * chunk / chunks, tiling.count * (chunk + 1) / chunks, panels * part / parts, panels * (part + 1) / parts},
               sums.data() + chunk * job.sums());
    }
  });
  const int64_t ins = job.channels / kLanes;
  parallel_for(ins * blocks_of(p.m), 4, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) finish_block(job, chunks, sums.data(), i % ins * kLanes, i / ins * kLanes, weight);
  });
}

template void winograd_weight(const WinogradConvolution&, const WinogradTransforms&, const Source<float>&, const Source<float>&, float*);
template void winograd_weight(const WinogradConvolution&, const WinogradTransforms&, const Source<bfloat16>&, const Source<bfloat16>&,
                              bfloat16*);

}  // namespace plumb::conv

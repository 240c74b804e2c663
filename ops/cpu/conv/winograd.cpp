// Winograd's convolution and its adjoint in the input, which is the convolution with flipped kernels.
// A thread takes a block of tiles from the input to the output: the transformed tiles of all channels stay in its L2, so the input is read
// and the output written once. The transformed weight is made once a call and read from L3 by all. A value depends on its own tile alone.
#include "ops/cpu/conv/winograd.h"

#include "engine/core/parallel.h"
#include "engine/core/precision.h"
#include "ops/cpu/conv/winograd_tiles.h"
#include "ops/cpu/gemm/blocking.h"
#include "ops/cpu/gemm/scratch.h"

namespace plumb::conv {
namespace {

using gemm::ceil_div;

constexpr int64_t kInputFloats = 128 << 10;   // transformed input of a block of tiles: 512 kB
constexpr int64_t kOutputFloats = 64 << 10;   // its products that wait for the output's transform: 256 kB
constexpr int64_t kLeastTiles = 48;

// The transformed weight: [frequency, panel, channel, columns of the panel].
struct Weights {
  int64_t channels, panels, columns;  // channels in whole blocks
  int64_t panel() const { return channels * columns; }
  int64_t frequency() const { return frequency_step(panels * panel()); }
};

// Transforms 16 output channels from `out` on of 16 input channels from `in` on.
template <typename T>
void transform_block(const WinogradConvolution& p, const WinogradTransforms& f, const WinogradWeight<T>& w, const Weights& to, int64_t in,
                     int64_t out, float* u) {
  alignas(64) float taps[kLanes * 9 * kLanes];
  const int64_t ins = std::min(kLanes, p.channels - in), outs = std::min(kLanes, p.m - out);
  if (ins < kLanes || outs < kLanes) std::fill(std::begin(taps), std::end(taps), 0.0f);
  for (int64_t o = 0; o < outs; ++o)
    for (int64_t i = 0; i < ins; ++i) {
      const T* from = w.data + (in + i) * w.in_step + (out + o) * w.out_step;
      float* at = taps + i * 9 * kLanes + o;
      if (w.flipped)
        for (int64_t tap = 0; tap < 9; ++tap) at[tap * kLanes] = static_cast<float>(from[8 - tap]);
      else
        for (int64_t tap = 0; tap < 9; ++tap) at[tap * kLanes] = static_cast<float>(from[tap]);
    }
  f.weight(taps, kLanes, u + out / to.columns * to.panel() + in * to.columns + out % to.columns, to.columns, to.frequency());
}

template <typename T>
void transform_weight(const WinogradConvolution& p, const WinogradTransforms& f, const WinogradWeight<T>& w, const Weights& to, float* u) {
  const int64_t ins = to.channels / kLanes, outs = to.panels * to.columns / kLanes;
  parallel_for(ins * outs, 8, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) transform_block(p, f, w, to, task % ins * kLanes, task / ins * kLanes, u);
  });
}

template <typename T>
struct Job {
  const WinogradConvolution& p;
  const WinogradTransforms& f;
  const WinogradKernels& kernels;
  const Source<T>& in;
  const Source<T>& out;
  const float* u;
  const T* bias;
  T* to;
  Weights weights;
  Tiling tiling;
  int64_t most_tiles, group;  // panels multiplied before their outputs are transformed
};

// What a thread works in.
struct Scratch {
  template <typename T>
  explicit Scratch(const Job<T>& j)
      : window(j.tiling.images * (j.tiling.rows * j.f.tile + 2) * (j.tiling.columns * j.f.tile + 2) * kLanes),
        v(j.f.frequencies() * frequency_step(j.weights.channels * j.most_tiles)),
        m(j.f.frequencies() * frequency_step(j.group * j.weights.columns * j.most_tiles)), y(j.f.tile * j.f.tile * j.most_tiles * kLanes) {}
  gemm::Buffer<float> window, v, m, y;
};

// v [frequency, block of channels, tile, 16] of the block of tiles.
template <typename T>
void transform_input(const Job<T>& j, const Tile& t, Scratch& s) {
  const int m = j.f.tile;
  const int64_t rows = t.rows * m + 2, columns = t.columns * m + 2, tiles = t.places(),
                frequency = frequency_step(j.weights.channels * tiles);
  const Places places = places_of(j.in, t.image, t.images, t.y * m - j.p.padding[0], rows, t.x * m - j.p.padding[1], columns);
  std::fill_n(s.window.data(), t.images * rows * columns * kLanes, 0.0f);
  for (int64_t c = 0; c < j.p.channels; c += kLanes) {
    load_places(j.kernels, j.in.data, places, c, std::min(kLanes, j.p.channels - c), s.window.data());
    for_tile_rows(t, m, columns * kLanes, rows * columns * kLanes, [&](int64_t at, int64_t tile) {
      j.f.input(s.window.data() + at, columns * kLanes, t.columns, s.v.data() + c * tiles + tile * kLanes, frequency);
    });
  }
}

// Output channels of panels [panel, end) of the block of tiles.
template <typename T>
void finish_panels(const Job<T>& j, const Tile& t, const Places& places, int64_t panel, int64_t end, Scratch& s) {
  const int m = j.f.tile;
  const int64_t rows = t.rows * m, columns = t.columns * m, tiles = t.places(), width = j.weights.columns,
                frequency = frequency_step((end - panel) * width * tiles);
  for (int64_t f = 0; f < j.f.frequencies(); ++f)
    j.kernels.multiply({.tiles = tiles,
                        .blocks = j.weights.channels / kLanes,
                        .panels = end - panel,
                        .v = s.v.data() + f * frequency_step(j.weights.channels * tiles),
                        .u = j.u + f * j.weights.frequency() + panel * j.weights.panel(),
                        .m = s.m.data() + f * frequency,
                        .u_panel = j.weights.panel(),
                        .accumulate = false});
  for (int64_t o = panel * width; o < std::min(end * width, j.p.m); o += kLanes) {
    const int64_t count = std::min(kLanes, j.p.m - o);
    float bias[kLanes] = {};
    if (j.bias) std::transform(j.bias + o, j.bias + o + count, bias, [](T x) { return static_cast<float>(x); });
    for_tile_rows(t, m, columns * kLanes, rows * columns * kLanes, [&](int64_t at, int64_t tile) {
      j.f.output(s.m.data() + (o - panel * width) * tiles + tile * kLanes, frequency, t.columns, bias, s.y.data() + at, columns * kLanes);
    });
    store_places(j.kernels, s.y.data(), places, o, count, j.to);
  }
}

template <typename T>
void convolve_tiles(const Job<T>& j, const Tile& t, Scratch& s) {
  const int m = j.f.tile;
  transform_input(j, t, s);
  const Places places = places_of(j.out, t.image, t.images, t.y * m, t.rows * m, t.x * m, t.columns * m);
  for (int64_t panel = 0; panel < j.weights.panels; panel += j.group)
    finish_panels(j, t, places, panel, std::min(j.weights.panels, panel + j.group), s);
}

// So many tiles in a block that its transformed input stays in L2, and blocks of about the same size.
int64_t tiles_of_block(const WinogradConvolution& p, const WinogradTransforms& f, int64_t channels) {
  const int64_t all = p.batch * ceil_div(p.height, f.tile) * ceil_div(p.width, f.tile);
  const int64_t most = std::max(kLeastTiles, kInputFloats / (f.frequencies() * channels));
  return ceil_div(all, ceil_div(all, most));
}

}  // namespace

template <typename T>
const WinogradTransforms* winograd_for(const WinogradConvolution& p) {
  Winograd allowed = winograd_allowed();
  if constexpr (std::is_same_v<T, bfloat16>) allowed = winograd_bf16_allowed() ? Winograd::tiles_2x2 : Winograd::off;
  const WinogradKernels* kernels = winograd_kernels<T>();
  if (!kernels || allowed == Winograd::off || p.channels < kLanes || p.m < kLanes || p.height < 2 || p.width < 2) return nullptr;
  return allowed == Winograd::tiles_4x4 ? &kernels->four : &kernels->two;
}

template <typename T>
void convolve_winograd(const WinogradConvolution& p, const WinogradTransforms& f, const Source<T>& in, const WinogradWeight<T>& weight,
                       const T* bias, Tensor& out) {
  if (out.numel() == 0) return;
  const WinogradKernels& kernels = *winograd_kernels<T>();
  const Weights weights{blocks_of(p.channels) * kLanes, ceil_div(p.m, kernels.columns), kernels.columns};
  gemm::Buffer<float> u(f.frequencies() * weights.frequency());
  transform_weight(p, f, weight, weights, u.data());
  const TapGrid plain(1, 1, {{0, 0}});
  const Tiling tiling(p.batch, ceil_div(p.height, f.tile), ceil_div(p.width, f.tile), plain, 1, 1, INT64_MAX / 4,
                      tiles_of_block(p, f, weights.channels));
  const int64_t most_tiles = tiling.images * tiling.rows * tiling.columns;
  const int64_t group = std::clamp<int64_t>(kOutputFloats / (f.frequencies() * weights.columns * most_tiles), 1, weights.panels);
  const Source<T> planes(out);
  const Job<T> job{p, f, kernels, in, planes, u.data(), bias, out.data<T>(), weights, tiling, most_tiles, group};
  parallel_for(tiling.count, 1, [&](int64_t begin, int64_t end) {
    Scratch scratch(job);
    for (int64_t i = begin; i < end; ++i) convolve_tiles(job, tiling[i], scratch);
  });
}

template const WinogradTransforms* winograd_for<float>(const WinogradConvolution&);
template const WinogradTransforms* winograd_for<bfloat16>(const WinogradConvolution&);
template void convolve_winograd(const WinogradConvolution&, const WinogradTransforms&, const Source<float>&, const WinogradWeight<float>&,
                                const float*, Tensor&);
template void convolve_winograd(const WinogradConvolution&, const WinogradTransforms&, const Source<bfloat16>&,
                                const WinogradWeight<bfloat16>&, const bfloat16*, Tensor&);

}  // namespace plumb::conv

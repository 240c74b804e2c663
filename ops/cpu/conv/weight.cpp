// The adjoint of convolution in its weight. For each group, as an implicit product,
//   weightᵀ [channels · taps, m] = Σ over tiles of places of  in [channels · taps, places] · yᵀ [places, m]
// Rows of `in` are gathered from the window a block at a time into L1, yᵀ is packed once a tile; where the CPU has dot products of pairs of
// bf16, both as pairs of places, with a zero beside an odd last place of an image. Tiles are dealt to a number of chunks that
// the shape alone fixes; each chunk sums its tiles in order, and the chunks are added in order: the bits do not depend on threads.
#include <cmath>

#include "engine/core/parallel.h"
#include "ops/cpu/conv/window.h"
#include "ops/cpu/conv/winograd.h"
#include "ops/cpu/gemm/blocking.h"
#include "ops/cpu/gemm/kernels.h"
#include "ops/cpu/gemm/scratch.h"
#include "ops/kernels/conv.h"

namespace plumb::cpu_kernels {
namespace {

using namespace plumb::conv;
using gemm::Accumulator;
using gemm::ceil_div;

constexpr int64_t kDepth = 384;        // elements of a tile: places, or pairs of them
constexpr int64_t kRowBlock = 24;      // rows of `in` gathered at a time: 36 kB
constexpr int64_t kChunks = 16;
constexpr int64_t kPartialValues = int64_t{16} << 20;  // of all chunks together, at most about

template <typename T>
struct WeightSum {
  using C = Accumulator<T>;
  TapGrid grid;
  Source<T> in;
  const T* y;
  int64_t y_image, y_channel, y_width;
  int64_t groups, channels, m;  // of a group: of the input, of the output
  Tiling tiling;
  int64_t rows() const { return channels * grid.count(); }
};

// Which part of the sum a task computes: tiles [tile, tile_end), rows [row, row_end) of weightᵀ.
struct Part {
  int64_t group, tile, tile_end, row, row_end;
};

// An image's places of a tile in elements P: places, or pairs of them.
template <typename P>
int64_t elements_of(const Tile& t) { return ceil_div(t.rows * t.columns, gemm::kSteps<P>); }

// yᵀ of the tile in panels of `width` channels.
template <typename T, typename P>
void pack_y(const WeightSum<T>& s, const Tile& t, int64_t group, int width, P* packed) {
  const int64_t each = elements_of<P>(t);
  for (int64_t m = 0; m < s.m; m += width)
    for (int64_t i = 0; i < t.images; ++i) {
      const T* y = s.y + (t.image + i) * s.y_image + (group * s.m + m) * s.y_channel + t.y * s.y_width + t.x;
      gemm::pack_panels(width, std::min<int64_t>(width, s.m - m), t.rows * t.columns, gemm::Strided<T>{y, s.y_channel, 1},
                        packed + (m * t.images + i * width) * each);
    }
}

// Rows [row, row + rows) of `in` for the places of the tile, each image from an element of its own on. `runs` are those of the first image.
template <typename T, typename C>
void gather_rows(const WeightSum<T>& s, const Tile& tile, const Window<C>& w, const Run* runs, int64_t n, int64_t row, int64_t rows,
                 int64_t each, C* block) {
  const int64_t places = tile.rows * tile.columns;
  for (int64_t r = row; r < row + rows; ++r) {
    const Tap& t = s.grid.taps[static_cast<size_t>(r % s.grid.count())];
    const C* corner = w.data + r / s.grid.count() * w.channel + (t.y - s.grid.min_y) * w.row + (t.x - s.grid.min_x) * w.column;
    for (int64_t i = 0; i < tile.images; ++i, block += each) {
      copy_runs(corner + i * w.image, runs, n, s.grid.step_w, block);
      std::fill(block + places, block + each, C{});
    }
  }
}

template <typename T, typename P>
void multiply_part(const WeightSum<T>& s, const gemm::Kernels<P>& kernels, const Part& part, Accumulator<T>* sums) {
  using C = std::conditional_t<gemm::kSteps<P> == 1, P,
                               T>;  // as which the rows of `in` are gathered: a pair of places is two of them as they lie
  const int64_t width = kernels.columns, most = s.tiling.images * elements_of<P>(s.tiling[0]);
  gemm::Buffer<P> packed(ceil_div(s.m, width) * width * most), block(kRowBlock * most);
  gemm::Buffer<C> padded(window_size(s.tiling, s.grid, s.channels));
  Run runs[kDepth * gemm::kSteps<P>];
  for (int64_t q = part.tile; q < part.tile_end; ++q) {
    const Tile tile = s.tiling[q];
    const int64_t each = elements_of<P>(tile), depth = tile.images * each;
    const Window<C> w = window(s.in, s.grid, tile, part.group * s.channels, s.channels, padded.data());
    const int64_t n = runs_of(w, s.grid, tile, 0, tile.rows * tile.columns, runs);
    pack_y(s, tile, part.group, kernels.columns, packed.data());
    for (int64_t row = part.row; row < part.row_end; row += kRowBlock) {
      const int64_t rows = std::min(kRowBlock, part.row_end - row);
      gather_rows(s, tile, w, runs, n, row, rows, each * gemm::kSteps<P>, reinterpret_cast<C*>(block.data()));
      for (int64_t m = 0; m < s.m; m += width)
        kernels.multiply_panel({.m = rows,
                                .n = std::min(width, s.m - m),
                                .k = depth,
                                .a = block.data(),
                                .a_row = depth,
                                .a_k = 1,
                                .packed = false,
                                .b = packed.data() + m * depth,
                                .b_k = width,
                                .c = sums + (row - part.row) * s.m + m,
                                .c_row = s.m,
                                .c_column = 1,
                                .accumulate = q > part.tile});
    }
  }
}

// Σ_i a[i] · b[i · step], added to lanes: element i goes to lane i mod 16.
template <typename T, typename C>
void add_products(const T* a, const C* b, int64_t step, int64_t n, C* lanes) {
  int64_t i = 0;
  if (step == 1)
    for (; i + 16 <= n; i += 16)
      for (int64_t l = 0; l < 16; ++l) lanes[l] = std::fma(static_cast<C>(a[i + l]), b[i + l], lanes[l]);
  for (; i < n; ++i) lanes[i % 16] = std::fma(static_cast<C>(a[i]), b[i * step], lanes[i % 16]);
}

// The same sums one by one, for one or two output channels a group: dot products of rows of y with rows of the window.
template <typename T>
void direct_part(const WeightSum<T>& s, const Part& part, Accumulator<T>* sums) {
  using C = Accumulator<T>;
  gemm::Buffer<C> padded(window_size(s.tiling, s.grid, s.channels));
  for (int64_t q = part.tile; q < part.tile_end; ++q) {
    const Tile t = s.tiling[q];
    const Window<C> w = window(s.in, s.grid, t, part.group * s.channels, s.channels, padded.data());
    for (int64_t row = part.row; row < part.row_end; ++row)
      for (int64_t m = 0; m < s.m; ++m) {
        const Tap& tap = s.grid.taps[static_cast<size_t>(row % s.grid.count())];
        C lanes[16] = {};
        for (int64_t i = 0; i < t.images; ++i)
          for (int64_t y = 0; y < t.rows; ++y) {
            const T* from = s.y + (t.image + i) * s.y_image + (part.group * s.m + m) * s.y_channel + (t.y + y) * s.y_width + t.x;
            const C* x = w.data + i * w.image + row / s.grid.count() * w.channel + (y * s.grid.step_h + tap.y - s.grid.min_y) * w.row +
                         (tap.x - s.grid.min_x) * w.column;
            add_products(from, x, s.grid.step_w, t.columns, lanes);
          }
        for (int64_t half = 8; half > 0; half /= 2)
          for (int64_t l = 0; l < half; ++l) lanes[l] += lanes[l + half];
        C& sum = sums[(row - part.row) * s.m + m];
        sum = q > part.tile ? sum + lanes[0] : lanes[0];
      }
  }
}

template <typename T>
void add_part(const WeightSum<T>& s, const Part& part, Accumulator<T>* sums) {
  if (s.m <= 2) return direct_part(s, part, sums);
  if constexpr (std::is_same_v<T, bfloat16>)
    if (const gemm::Kernels<gemm::Bf16Pair>* pairs = gemm::pair_kernels()) return multiply_part(s, *pairs, part, sums);
  multiply_part(s, gemm::kernels<Accumulator<T>>(), part, sums);
}

// weight [groups · m, rows] ← Σ over chunks of partial [chunks, groups, rows, m], in order: 16 × 16 values at a time, which lie side by
// side along m where they come from and along the rows where they go.
template <typename T>
void add_chunks(const WeightSum<T>& s, int64_t chunks, const Accumulator<T>* partial, T* weight) {
  using C = Accumulator<T>;
  constexpr int64_t kBlock = 16;
  const int64_t rows = s.rows(), all = s.groups * rows * s.m, across = ceil_div(s.m, kBlock);
  parallel_for(s.groups * across, ceil_div(16384, chunks * rows * kBlock), [&](int64_t begin, int64_t end) {
    C sums[kBlock][kBlock];
    for (int64_t task = begin; task < end; ++task) {
      const int64_t group = task / across, o = task % across * kBlock, count = std::min(kBlock, s.m - o);
      for (int64_t row = 0; row < rows; row += kBlock) {
        const int64_t height = std::min(kBlock, rows - row);
        for (int64_t r = 0; r < height; ++r) {
          const C* from = partial + (group * rows + row + r) * s.m + o;
          std::copy_n(from, count, sums[r]);
          for (int64_t q = 1; q < chunks; ++q)
            for (int64_t i = 0; i < count; ++i) sums[r][i] += from[q * all + i];
        }
        for (int64_t i = 0; i < count; ++i)
          for (int64_t r = 0; r < height; ++r) weight[(group * s.m + o + i) * rows + row + r] = static_cast<T>(sums[r][i]);
      }
    }
  });
}

template <typename T>
void conv_weight_typed(const Tensor& y, const Tensor& x, const ConvGeometry& g, Tensor& weight) {
  using C = Accumulator<T>;
  const Shape &k = weight.shape(), &places = y.shape();
  T* out = weight.data<T>();
  if (weight.numel() == 0) return;
  if (y.numel() == 0) return static_cast<void>(std::fill_n(out, weight.numel(), static_cast<T>(0.0f)));
  std::vector<Tap> taps;
  for (int64_t i = 0; i < k[2]; ++i)
    for (int64_t j = 0; j < k[3]; ++j) taps.push_back({i * g.dilation[0] - g.padding[0], j * g.dilation[1] - g.padding[1]});
  const TapGrid grid(g.stride[0], g.stride[1], std::move(taps));
  const int64_t m = k[0] / g.groups;
  const bool pairs = std::is_same_v<T, bfloat16> && m > 2 && gemm::pair_kernels();
  const Tiling tiling(places[0], places[2], places[3], grid, k[1], pairs ? sizeof(T) : sizeof(C), 384 << 10, pairs ? 2 * kDepth : kDepth);
  const WeightSum<T> s{grid, Source<T>(x), y.data<T>(), y.strides()[0], y.strides()[1], places[3], g.groups, k[1], m, tiling};
  const int64_t chunks = std::clamp<int64_t>(std::min(kPartialValues / weight.numel(), kChunks), 1, tiling.count);
  const int64_t row_parts = std::clamp<int64_t>(kChunks / (chunks * g.groups), 1, ceil_div(s.rows(), kRowBlock));
  const int64_t part_rows = ceil_div(ceil_div(s.rows(), row_parts), kRowBlock) * kRowBlock, parts = ceil_div(s.rows(), part_rows);
  gemm::Buffer<C> partial(chunks * weight.numel());
  parallel_for(chunks * g.groups * parts,
               ceil_div(gemm::kWorthThread * chunks * g.groups * parts, std::max<int64_t>(1, y.numel() * s.rows())),
               [&](int64_t begin, int64_t end) {
                 for (int64_t task = begin; task < end; ++task) {
                   const int64_t chunk = task / (g.groups * parts), group = task / parts % g.groups, row = task % parts * part_rows;
                   const Part part{group, tiling.count * chunk / chunks, tiling.count * (chunk + 1) / chunks, row,
                                   std::min(s.rows(), row + part_rows)};
                   C* sums = partial.data() + ((chunk * g.groups + group) * s.rows() + row) * m;
                   add_part(s, part, sums);
                 }
               });
  add_chunks(s, chunks, partial.data(), out);
}

template <typename T>
bool winograd_typed(const WinogradConvolution& p, const Tensor& y, const Tensor& x, Tensor& weight) {
  const WinogradTransforms* transforms = y.numel() > 0 ? winograd_for<T>(p) : nullptr;
  if (transforms) winograd_weight(p, *transforms, Source<T>(x), Source<T>(y), weight.data<T>());
  return transforms;
}

// The same by Winograd's algorithm, if it is what that computes.
bool by_winograd(const Tensor& y, const Tensor& x, const ConvGeometry& g, Tensor& weight) {
  const Shape &k = weight.shape(), &places = y.shape();
  if ((weight.dtype() != f32 && weight.dtype() != bf16) || k[2] != 3 || k[3] != 3 || g.stride[0] != 1 || g.stride[1] != 1 ||
      g.dilation[0] != 1 || g.dilation[1] != 1 || g.groups != 1)
    return false;
  const WinogradConvolution p{places[0], k[1], k[0], places[2], places[3], {g.padding[0], g.padding[1]}};
  return weight.dtype() == f32 ? winograd_typed<float>(p, y, x, weight) : winograd_typed<bfloat16>(p, y, x, weight);
}

}  // namespace

void conv_weight_cpu(const Tensor& y, const Tensor& x, const ConvGeometry& g, Tensor& weight) {
  if (by_winograd(y, x, g, weight)) return;
  visit_floating("conv_weight", y.dtype(), [&]<typename T>() { conv_weight_typed<T>(y, x, g, weight); });
}

}  // namespace plumb::cpu_kernels

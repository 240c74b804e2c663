// Convolution over taps, as an implicit matrix product or directly.
//   product:  out [m, places] = weight [m, channels · taps] · in [channels · taps, places]
// The right operand is never stored: a panel of places (32 floats on AVX-512) of one block of its rows is read from the window where it
// lies, or gathered from it into L1, and multiplied with all rows of the packed weight. Where the CPU has dot products of pairs of bf16,
// an element of a panel, of the window and of the packed weight is a pair of channels; "k" and "rows" below count elements. With one or two
// output channels a group (depthwise) there is nothing to reuse a panel for: output rows are summed directly from the window.
#include "ops/cpu/conv/taps.h"

#include <cmath>

#include "engine/core/parallel.h"
#include "ops/cpu/gemm/blocking.h"
#include "ops/cpu/gemm/kernels.h"
#include "ops/cpu/gemm/scratch.h"

namespace plumb::conv {
namespace {

using gemm::ceil_div;

constexpr int64_t kWindowBytes = 384 << 10;  // of the 1 MB or more of L2
constexpr int64_t kTilePlaces = 2048;
constexpr int64_t kTiles = 16;  // at least so many, where there is work for them: one large image feeds several threads

// Where the places of a tile go.
template <typename T>
struct Target {
  T* data;
  int64_t image, channel, row, column, first;

  Target(const TapConvolution& p, Tensor& out)
      : data(out.data<T>()), image(out.strides()[0]), channel(out.strides()[1]), row(p.out_step_h * out.strides()[2]), column(p.out_step_w),
        first(p.out_y * out.strides()[2] + p.out_x) {}
  T* at(int64_t i, int64_t c, int64_t y, int64_t x) const { return data + first + i * image + c * channel + y * row + x * column; }
  void store(const gemm::Accumulator<T>* from, int64_t count, gemm::Accumulator<T> bias, T* to) const {
    if (column == 1)
      for (int64_t i = 0; i < count; ++i) to[i] = static_cast<T>(from[i] + bias);
    else
      for (int64_t i = 0; i < count; ++i) to[i * column] = static_cast<T>(from[i] + bias);
  }
};

template <typename T>
struct Job {
  using C = gemm::Accumulator<T>;
  const TapConvolution& p;
  const Source<T>& in;
  const T* weight;  // [groups, m, channels, taps]
  const T* bias;
  Target<T> out;
  Tiling tiling;

  C bias_of(int64_t channel) const { return bias ? static_cast<C>(bias[channel]) : C(0); }
};

// Writes sums [m, stride] of places [begin, end) of the tile to channels [channel, channel + m).
template <typename T>
void store_places(const Job<T>& job, const Tile& tile, int64_t begin, int64_t end, int64_t channel, int64_t m,
                  const gemm::Accumulator<T>* sums, int64_t stride) {
  while (begin < end) {
    const int64_t x = begin % tile.columns, row = begin / tile.columns, y = row % tile.rows, image = row / tile.rows;
    const int64_t count = std::min(end - begin, tile.columns - x);
    T* to = job.out.at(tile.image + image, channel, tile.y + y, tile.x + x);
    for (int64_t c = 0; c < m; ++c) job.out.store(sums + c * stride, count, job.bias_of(channel + c), to + c * job.out.channel);
    begin += count, sums += count;
  }
}

// -- product ----------------------------------------------------------------------------------------------

// Panels of places that share one pass over a block of the weight, so that a large weight is read from memory less often.
constexpr int64_t kPanels = 4;

// The product: panels of elements P.
template <typename T, typename P>
struct Panels : Job<T> {
  const gemm::Kernels<P>& kernels;
  int64_t channels, k_all;  // of a group: channels or pairs of them, and as many for each tap
  int64_t height;           // rows of a group's packed weight
  const P* packed = nullptr;

  Panels(const Job<T>& job, const gemm::Kernels<P>& k)
      : Job<T>(job), kernels(k), channels(ceil_div(job.p.channels, gemm::kSteps<P>)), k_all(channels * job.p.grid.count()),
        height(ceil_div(job.p.m, k.rows) * k.rows) {}
};

template <typename P>
struct PanelBuffers {
  PanelBuffers(const gemm::Kernels<P>& k, int64_t m, int64_t k_all)
      : b_panel(std::min(k_all, gemm::kMaxDepth) * k.columns), c_panel(m * k.columns), b(kPanels * b_panel), sums(kPanels * c_panel),
        rows(k_all) {
    std::fill_n(b.data(), kPanels * b_panel, P{});  // columns beyond the last place are computed too: let them be numbers
  }
  int64_t b_panel, c_panel;
  gemm::Buffer<P> b;
  gemm::Buffer<gemm::Sum<P>> sums;
  gemm::Buffer<int64_t> rows;
};

// Rows of the right operand for the places of one panel: packed, or with `rows` in the window itself.
template <typename P>
struct Panel {
  const P* b;
  const int64_t* rows;
};

// sums [m, width] of each of `panels` panels; panel(q, k, depth) gives rows [k, k + depth) of panel q.
template <typename T, typename P, typename PanelOf>
void multiply_panels(const Panels<T, P>& job, int64_t group, int64_t panels, PanelBuffers<P>& buffers, const PanelOf& panel) {
  const gemm::Kernels<P>& kernels = job.kernels;
  const int64_t m = job.p.m, k_all = job.k_all, depth = gemm::block_depth(k_all), width = kernels.columns, height = job.height;
  const int64_t m_block = std::max<int64_t>(1, gemm::kBlockRows<P> / kernels.rows) * kernels.rows;
  Panel<P> blocks[kPanels];
  for (int64_t k = 0; k < k_all; k += depth) {
    gemm::PanelProduct<P> product{
        .n = width, .k = std::min(depth, k_all - k), .packed = true, .b_k = width, .c_row = width, .c_column = 1, .accumulate = k > 0};
    for (int64_t q = 0; q < panels; ++q) blocks[q] = panel(q, k, product.k);
    for (int64_t i = 0; i < m; i += m_block) {
      product.m = std::min(m_block, m - i);
      product.a = job.packed + group * height * k_all + k * height + i * product.k;
      for (int64_t q = 0; q < panels; ++q) {
        product.b = blocks[q].b, product.b_rows = blocks[q].rows;
        product.c = buffers.sums.data() + q * buffers.c_panel + i * width;
        kernels.multiply_panel(product);
      }
    }
  }
}

// Rows [k, k + depth) of the right operand, for the places of `runs`.
template <typename C>
void fill_panel(const Window<C>& w, const TapGrid& grid, const Run* runs, int64_t n, int64_t k, int64_t depth, int width, C* panel) {
  int64_t channel = k / grid.count(), tap = k % grid.count();
  for (int64_t r = 0; r < depth; ++r, panel += width) {
    const Tap& t = grid.taps[static_cast<size_t>(tap)];
    copy_runs(w.data + channel * w.channel + (t.y - grid.min_y) * w.row + (t.x - grid.min_x) * w.column, runs, n, grid.step_w, panel);
    if (++tap == grid.count()) tap = 0, ++channel;
  }
}

template <typename T, typename P>
void multiply_gathered(const Panels<T, P>& job, const Tile& tile, int64_t group, const Window<P>& w, PanelBuffers<P>& buffers) {
  const TapConvolution& p = job.p;
  const int width = job.kernels.columns;
  const int64_t places = tile.places();
  Run runs[kPanels][64];
  int64_t run_count[kPanels];
  for (int64_t first = 0; first < places; first += kPanels * width) {
    const int64_t panels = std::min(kPanels, ceil_div(places - first, width));
    for (int64_t q = 0; q < panels; ++q)
      run_count[q] = runs_of(w, p.grid, tile, first + q * width, std::min(places, first + (q + 1) * width), runs[q]);
    multiply_panels(job, group, panels, buffers, [&](int64_t q, int64_t k, int64_t depth) {
      P* b = buffers.b.data() + q * buffers.b_panel;
      fill_panel(w, p.grid, runs[q], run_count[q], k, depth, width, b);
      return Panel<P>{b, nullptr};
    });
    for (int64_t q = 0; q < panels; ++q)
      store_places(job, tile, first + q * width, std::min(places, first + (q + 1) * width), group * p.m, p.m,
                   buffers.sums.data() + q * buffers.c_panel, width);
  }
}

// With steps of 1, place (y, x) reads the window at position y · row + x and at fixed distances from it. So all positions of an image, from
// its first place to its last, are multiplied where they lie, those between the rows of places in vain.
template <typename T>
int64_t positions_of(const Tile& tile, const Window<T>& w) {
  return (tile.rows - 1) * w.row + tile.columns;
}

// Writes sums [m, width] of positions [begin, begin + width) of an image of the tile.
template <typename T>
void store_positions(const Job<T>& job, const Tile& tile, int64_t image, int64_t row_length, int64_t begin, int64_t width, int64_t channel,
                     int64_t m, const gemm::Accumulator<T>* sums) {
  for (int64_t i = 0; i < width;) {
    const int64_t x = (begin + i) % row_length, y = (begin + i) / row_length, count = std::min(width - i, tile.columns - x);
    if (count <= 0) {
      i += row_length - x;
      continue;
    }
    T* to = job.out.at(tile.image + image, channel, tile.y + y, tile.x + x);
    for (int64_t c = 0; c < m; ++c) job.out.store(sums + c * width + i, count, job.bias_of(channel + c), to + c * job.out.channel);
    i += count;
  }
}

template <typename T, typename P>
void multiply_in_place(const Panels<T, P>& job, const Tile& tile, int64_t group, const Window<P>& w, PanelBuffers<P>& buffers) {
  const TapConvolution& p = job.p;
  const int64_t width = job.kernels.columns, positions = positions_of(tile, w), each = ceil_div(positions, width),
                panels = tile.images * each;
  int64_t* rows = buffers.rows.data();
  for (int64_t c = 0; c < job.channels; ++c)
    for (const Tap& t : p.grid.taps) *rows++ = c * w.channel + (t.y - p.grid.min_y) * w.row + t.x - p.grid.min_x;
  auto begin = [&](int64_t panel) { return std::min(panel % each * width, positions - width); };  // the last one overlaps its neighbour
  for (int64_t first = 0; first < panels; first += kPanels) {
    const int64_t n = std::min(kPanels, panels - first);
    multiply_panels(job, group, n, buffers, [&](int64_t q, int64_t k, int64_t) {
      return Panel<P>{w.data + (first + q) / each * w.image + begin(first + q), buffers.rows.data() + k};
    });
    for (int64_t q = 0; q < n; ++q)
      store_positions(job, tile, (first + q) / each, w.row, begin(first + q), width, group * p.m, p.m,
                      buffers.sums.data() + q * buffers.c_panel);
  }
}

// Gathering a row of a panel costs about as much as multiplying it with so many rows of the weight.
constexpr int64_t kGatherRows = 16;

template <typename T, typename P>
void multiply_tile(const Panels<T, P>& job, const Tile& tile, int64_t group, const Window<P>& w, PanelBuffers<P>& buffers) {
  const TapConvolution& p = job.p;
  const int64_t positions = positions_of(tile, w), width = job.kernels.columns;
  const bool in_rows = p.grid.step_h == 1 && p.grid.step_w == 1 && w.column == 1 && w.row >= tile.columns && positions >= width;
  const int64_t in_vain = tile.images * ceil_div(positions, width) * width - ceil_div(tile.places(), width) * width;
  if (in_rows && in_vain * p.m <= kGatherRows * tile.places()) multiply_in_place(job, tile, group, w, buffers);
  else multiply_gathered(job, tile, group, w, buffers);
}

// Row m of the weight [channels, taps] as rows of pairs [⌈channels / 2⌉, taps, 2], with zeros beside an odd last channel.
inline void pair_channels(const bfloat16* row, int64_t channels, int64_t taps, bfloat16* pairs) {
  for (int64_t c = 0; c < channels; c += 2, row += 2 * taps)
    for (int64_t t = 0; t < taps; ++t) {
      *pairs++ = row[t];
      *pairs++ = c + 1 < channels ? row[taps + t] : bfloat16();
    }
}

// Every block of k holds all row panels of the group's weight, one after the other.
template <typename T, typename P>
void pack_weight(const Panels<T, P>& job, P* packed) {
  constexpr int64_t kEach = gemm::kSteps<P>;
  const TapConvolution& p = job.p;
  const int64_t k_all = job.k_all, depth = gemm::block_depth(k_all), height = job.height, row = p.channels * p.grid.count();
  const int rows = job.kernels.rows;
  parallel_for(p.groups * height / rows, ceil_div(1 << 16, row * rows), [&](int64_t begin, int64_t end) {
    gemm::Buffer<T> pairs(kEach > 1 ? rows * k_all * kEach : 0);
    for (int64_t task = begin; task < end; ++task) {
      const int64_t group = task / (height / rows), i = task % (height / rows) * rows, lanes = std::min<int64_t>(rows, p.m - i);
      const T* from = job.weight + (group * p.m + i) * row;
      if constexpr (kEach > 1) {
        for (int64_t l = 0; l < lanes; ++l) pair_channels(from + l * row, p.channels, p.grid.count(), pairs.data() + l * k_all * kEach);
        from = pairs.data();
      }
      for (int64_t k = 0; k < k_all; k += depth) {
        const int64_t steps = std::min(depth, k_all - k);
        gemm::pack_panels(rows, lanes, steps * kEach, gemm::Strided<T>{from + k * kEach, k_all * kEach, 1},
                          packed + group * height * k_all + k * height + i * steps);
      }
    }
  });
}

template <typename T, typename P>
void by_product(const Job<T>& plain, const gemm::Kernels<P>& kernels) {
  Panels<T, P> job(plain, kernels);
  const TapConvolution& p = job.p;
  gemm::Buffer<P> packed(p.groups * job.height * job.k_all);
  pack_weight(job, packed.data());
  job.packed = packed.data();
  const int64_t work = p.m * p.channels * p.grid.count() * job.tiling.images * job.tiling.rows * job.tiling.columns;
  parallel_for(job.tiling.count * p.groups, ceil_div(gemm::kWorthThread, std::max<int64_t>(1, work)), [&](int64_t begin, int64_t end) {
    PanelBuffers<P> buffers(kernels, p.m, job.k_all);
    gemm::Buffer<P> padded(window_size(job.tiling, p.grid, job.channels));
    for (int64_t task = begin; task < end; ++task) {
      const Tile tile = job.tiling[task / p.groups];
      const int64_t group = task % p.groups;
      multiply_tile(job, tile, group, window(job.in, p.grid, tile, group * p.channels, p.channels, padded.data()), buffers);
    }
  });
}

// -- direct -----------------------------------------------------------------------------------------------

// What an output place of one channel sums: weight[i] times the window at offset[i] from the place.
template <typename C>
struct Terms {
  const C* weight;
  const int64_t* offset;
  int64_t count;
};

// sums[j] = Σ over the terms for kColumns places from `window` on, `step` apart (kStep, unless that is 0). They stay in registers.
template <int kColumns, int kStep, typename C>
void sum_places(const Terms<C>& terms, const C* window, int64_t step, C* sums) {
  C sum[kColumns] = {};
  for (int64_t i = 0; i < terms.count; ++i) {
    const C w = terms.weight[i], *x = window + terms.offset[i];
#pragma GCC unroll 32
    for (int j = 0; j < kColumns; ++j) sum[j] = std::fma(w, x[j * (kStep ? kStep : step)], sum[j]);
  }
  std::copy_n(sum, kColumns, sums);
}

// A row of places: the last piece overlaps the one before, which gives the same sums again.
template <int kStep, typename C>
void sum_row(const Terms<C>& terms, const C* window, int64_t step, int64_t columns, C* sums) {
  constexpr int kMany = 128 / sizeof(C), kFew = 32 / sizeof(C);
  int64_t x = 0;
  for (; x + kMany <= columns; x += kMany) sum_places<kMany, kStep>(terms, window + x * step, step, sums + x);
  if (columns < kFew)
    for (; x < columns; ++x) sum_places<1, kStep>(terms, window + x * step, step, sums + x);
  for (; x < columns; x += kFew) {
    const int64_t at = std::min<int64_t>(x, columns - kFew);
    sum_places<kFew, kStep>(terms, window + at * step, step, sums + at);
  }
}

template <typename C>
void sum_row(const Terms<C>& terms, const C* window, int64_t step, int64_t columns, C* sums) {
  step == 1   ? sum_row<1>(terms, window, step, columns, sums)
  : step == 2 ? sum_row<2>(terms, window, step, columns, sums)
              : sum_row<0>(terms, window, step, columns, sums);
}

template <typename C>
struct DirectBuffers {
  DirectBuffers(const TapConvolution& p, int64_t columns)
      : weight(p.channels * p.grid.count()), offset(p.channels * p.grid.count()), sums(columns) {}
  gemm::Buffer<C> weight;
  gemm::Buffer<int64_t> offset;
  gemm::Buffer<C> sums;
};

template <typename T>
void direct_tile(const Job<T>& job, const Tile& tile, int64_t group, const Window<gemm::Accumulator<T>>& w,
                 DirectBuffers<gemm::Accumulator<T>>& buffers) {
  using C = gemm::Accumulator<T>;
  const TapConvolution& p = job.p;
  const Terms<C> terms{buffers.weight.data(), buffers.offset.data(), p.channels * p.grid.count()};
  int64_t* offset = buffers.offset.data();
  for (int64_t c = 0; c < p.channels; ++c)
    for (const Tap& t : p.grid.taps) *offset++ = c * w.channel + (t.y - p.grid.min_y) * w.row + (t.x - p.grid.min_x) * w.column;
  for (int64_t channel = group * p.m; channel < (group + 1) * p.m; ++channel) {
    const T* weight = job.weight + channel * terms.count;
    std::transform(weight, weight + terms.count, buffers.weight.data(), [](T x) { return static_cast<C>(x); });
    for (int64_t i = 0; i < tile.images; ++i)
      for (int64_t y = 0; y < tile.rows; ++y) {
        sum_row(terms, w.data + i * w.image + y * p.grid.step_h * w.row, p.grid.step_w * w.column, tile.columns, buffers.sums.data());
        job.out.store(buffers.sums.data(), tile.columns, job.bias_of(channel), job.out.at(tile.image + i, channel, tile.y + y, tile.x));
      }
  }
}

template <typename T>
void directly(const Job<T>& job) {
  using C = gemm::Accumulator<T>;
  const TapConvolution& p = job.p;
  const int64_t work = p.m * p.channels * p.grid.count() * job.tiling.images * job.tiling.rows * job.tiling.columns;
  parallel_for(job.tiling.count * p.groups, ceil_div(gemm::kWorthThread / 4, std::max<int64_t>(1, work)), [&](int64_t begin, int64_t end) {
    DirectBuffers<C> buffers(p, job.tiling.columns);
    gemm::Buffer<C> padded(window_size(job.tiling, p.grid, p.channels));
    for (int64_t task = begin; task < end; ++task) {
      const Tile tile = job.tiling[task / p.groups];
      const int64_t group = task % p.groups;
      direct_tile(job, tile, group, window(job.in, p.grid, tile, group * p.channels, p.channels, padded.data()), buffers);
    }
  });
}

template <typename T>
void fill_with_bias(const Job<T>& job) {
  const TapConvolution& p = job.p;
  std::vector<gemm::Accumulator<T>> zeros(static_cast<size_t>(p.width));
  for (int64_t i = 0; i < p.batch; ++i)
    for (int64_t c = 0; c < p.groups * p.m; ++c)
      for (int64_t y = 0; y < p.height; ++y) job.out.store(zeros.data(), p.width, job.bias_of(c), job.out.at(i, c, y, 0));
}

}  // namespace

template <typename T>
void convolve_taps(const TapConvolution& p, const Source<T>& in, const T* weight, const T* bias, Tensor& out) {
  if (p.batch * p.groups * p.m * p.height * p.width == 0) return;
  const int64_t even = p.batch * p.groups * p.height * p.width / kTiles / 128 * 128;
  const gemm::Kernels<gemm::Bf16Pair>* pairs = std::is_same_v<T, bfloat16> && p.m > 2 ? gemm::pair_kernels() : nullptr;
  const int64_t item = pairs ? sizeof(T) : sizeof(gemm::Accumulator<T>);
  const Tiling tiling(p.batch, p.height, p.width, p.grid, p.channels, item, kWindowBytes, std::clamp<int64_t>(even, 128, kTilePlaces));
  const Job<T> job{p, in, weight, bias, Target<T>(p, out), tiling};
  if (p.channels * p.grid.count() == 0) return fill_with_bias(job);
  if (p.m <= 2) return directly(job);
  if constexpr (std::is_same_v<T, bfloat16>)
    if (pairs) return by_product(job, *pairs);
  by_product(job, gemm::kernels<gemm::Accumulator<T>>());
}

template void convolve_taps(const TapConvolution&, const Source<float>&, const float*, const float*, Tensor&);
template void convolve_taps(const TapConvolution&, const Source<double>&, const double*, const double*, Tensor&);
template void convolve_taps(const TapConvolution&, const Source<bfloat16>&, const bfloat16*, const bfloat16*, Tensor&);
template void convolve_taps(const TapConvolution&, const Source<half>&, const half*, const half*, Tensor&);

}  // namespace plumb::conv

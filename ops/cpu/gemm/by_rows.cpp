// Tall products: B, the smaller operand, is packed once for all threads; a thread packs blocks of rows of A as it comes to them.
//   for each slab of k:  pack B │ for each block of rows, block of k: pack A (stays in L2), for each panel of B (stays in L1): C += A · B
#include "ops/cpu/gemm/blocking.h"
#include "ops/cpu/gemm/product.h"
#include "ops/cpu/gemm/scratch.h"

namespace plumb::gemm {
namespace {

// With fewer panels of B than this, a panel of A is used too few times to be worth a copy.
constexpr int64_t kPanelsToPack = 16;

// Rows this many bytes apart, or a multiple of it, fall on the same few sets of L1 and drive each other out where they lie.
constexpr int64_t kAlias = 2048;

template <typename T, typename P>
struct Slab {
  const Product<T, P>& p;
  const Kernels<P>& kernels;
  int64_t begin, end;  // of k, in elements P
  const P* b;
};

// Rows [i, i + rows) of A from k on.
template <typename T, typename P>
Ahead rows_ahead(const Product<T, P>& p, int64_t i, int64_t rows, int64_t k) {
  return ahead_of(rows, kSteps<P>, Strided<T>{p.a.data + i * p.a.row + k * kSteps<P> * p.a.column, p.a.row, p.a.column});
}

// Rows [i, i + rows), after which come `next` more.
template <typename T, typename P>
void multiply_block(const Slab<T, P>& slab, int64_t i, int64_t rows, int64_t next, int64_t panel_begin, int64_t panel_end) {
  const Product<T, P>& p = slab.p;
  const int64_t width = slab.kernels.columns, padded = ceil_div(p.n, width) * width, depth = block_depth(packed_k(p));
  PanelProduct<P> panel{.m = rows, .a_row = p.a.row, .a_k = p.a.column, .b_k = width, .c_row = p.c_row, .c_column = p.c_column};
  const bool in_the_way = p.a.column != 1 || p.a.row * static_cast<int64_t>(sizeof(T)) % kAlias == 0;
  panel.packed = !std::is_same_v<T, P> || panel_end - panel_begin >= (in_the_way ? 4 : kPanelsToPack);
  P* const packed = panel.packed ? thread_scratch<P>((kBlockRows<P> + slab.kernels.rows) * depth) : nullptr;
  for (int64_t k = slab.begin; k < slab.end; k += depth) {
    panel.k = std::min(depth, slab.end - k);
    panel.accumulate = p.accumulate || k > 0;
    const T* a = p.a.data + i * p.a.row;
    if (panel.packed) pack_block(p, slab.kernels.rows, rows, k, panel.k, a, p.a.row, p.a.column, packed);
    if constexpr (std::is_same_v<T, P>)
      panel.a = panel.packed ? packed : a + k * p.a.column;
    else
      panel.a = packed;
    if (panel.packed) panel.ahead = k + depth < slab.end ? rows_ahead(p, i, rows, k + depth) : rows_ahead(p, i + rows, next, slab.begin);
    for (int64_t q = panel_begin; q < panel_end; q++) {
      panel.n = std::min(width, p.n - q * width);
      panel.b = slab.b + (k - slab.begin) * padded + q * width * panel.k;
      panel.c = p.c + i * p.c_row + q * width * p.c_column;
      slab.kernels.multiply_panel(panel);
      panel.ahead.skip(rows / slab.kernels.rows);
    }
  }
  if (slab.end == packed_k(p)) finish(p, i, i + rows, panel_begin * width, std::min(p.n, panel_end * width));
}

// Row panels [begin, end), in blocks that fit L2, even ones.
template <typename T, typename P>
void multiply_rows(const Slab<T, P>& slab, int64_t begin, int64_t end, int64_t panel_begin, int64_t panel_end) {
  const int64_t height = slab.kernels.rows, most = std::max<int64_t>(1, kBlockRows<P> / height);
  const int64_t blocks = ceil_div(end - begin, most);
  for (int64_t q = 0; q < blocks; q++) {
    const auto start = [&](int64_t block) { return std::min((begin + (end - begin) * block / blocks) * height, slab.p.m); };
    multiply_block(slab, start(q), start(q + 1) - start(q), start(std::min(q + 2, blocks)) - start(q + 1), panel_begin, panel_end);
  }
}

}  // namespace

template <typename T, typename P>
void pack_b(const Product<T, P>& p, const Kernels<P>& kernels, int64_t begin, int64_t end, P* packed) {
  const int64_t width = kernels.columns, panels = ceil_div(p.n, width), depth = block_depth(packed_k(p));
  const int64_t blocks = ceil_div(end - begin, depth), work = p.n * (end - begin) * 4;
  for_parts(blocks, panels, 1, work, [&](int64_t block, int64_t q, int64_t q_end) {
    const int64_t k = begin + block * depth, steps = std::min(depth, end - k);
    pack_block(p, width, std::min(p.n, q_end * width) - q * width, k, steps, p.b.data + q * width * p.b.column, p.b.column, p.b.row,
               packed + block * depth * panels * width + q * width * steps);
  });
}

template <typename T, typename P>
void multiply_by_rows(const Product<T, P>& p, const Kernels<P>& kernels) {
  const int64_t row_panels = ceil_div(p.m, kernels.rows), panels = ceil_div(p.n, kernels.columns), threads = num_threads();
  const int64_t parts = std::min(panels, ceil_div(2 * threads, row_panels));
  const int64_t grain = std::clamp<int64_t>(row_panels / (4 * threads), 1, 8);
  const int64_t k_all = packed_k(p), deep = p.packed_b ? k_all : std::min(k_all, slab_depth(k_all, panels * kernels.columns, sizeof(P)));
  Buffer<P> packed(p.packed_b ? 0 : deep * panels * kernels.columns);
  for (int64_t k = 0; k < k_all; k += deep) {
    const Slab<T, P> slab{p, kernels, k, std::min(k_all, k + deep), p.packed_b ? p.packed_b : packed.data()};
    if (!p.packed_b) pack_b(p, kernels, slab.begin, slab.end, packed.data());
    for_parts(parts, row_panels, grain, p.m * p.n * (slab.end - k) * kSteps<P>, [&](int64_t part, int64_t begin, int64_t end) {
      multiply_rows(slab, begin, end, panels * part / parts, panels * (part + 1) / parts);
    });
  }
}

template void multiply_by_rows(const Product<float, float>&, const Kernels<float>&);
template void pack_b(const Product<float, float>&, const Kernels<float>&, int64_t, int64_t, float*);
template void multiply_by_rows(const Product<double, double>&, const Kernels<double>&);
template void pack_b(const Product<double, double>&, const Kernels<double>&, int64_t, int64_t, double*);
template void multiply_by_rows(const Product<bfloat16, float>&, const Kernels<float>&);
template void pack_b(const Product<bfloat16, float>&, const Kernels<float>&, int64_t, int64_t, float*);
template void multiply_by_rows(const Product<bfloat16, Bf16Pair>&, const Kernels<Bf16Pair>&);
template void pack_b(const Product<bfloat16, Bf16Pair>&, const Kernels<Bf16Pair>&, int64_t, int64_t, Bf16Pair*);
template void multiply_by_rows(const Product<half, float>&, const Kernels<float>&);
template void pack_b(const Product<half, float>&, const Kernels<float>&, int64_t, int64_t, float*);

}  // namespace plumb::gemm

// Wide and small products: A, the smaller operand, is packed once for all threads, or read where it lies if that is not worth it;
// a thread packs a panel of B into L1 and uses it for all rows at once.
//   for each slab of k:  pack A │ for each block of k, panel of B: pack the panel, C += A · B
#include "ops/cpu/gemm/blocking.h"
#include "ops/cpu/gemm/product.h"
#include "ops/cpu/gemm/scratch.h"

namespace plumb::gemm {
namespace {

// With fewer panels of B than this, a panel of A is used too few times to be worth a copy.
constexpr int64_t kPanelsToPackA = 6;
// With fewer panels of A than this, a panel of B whose rows are contiguous is read where it lies.
constexpr int64_t kPanelsToPackB = 3;

template <typename T, typename P>
struct Slab {
  const Product<T, P>& p;
  const Kernels<P>& kernels;
  int64_t begin, end;  // of k, in elements P
  const P* a;          // packed, or null
};

// A's rows [i, i + panel.m) from k on.
template <typename T, typename P>
void set_a(const Slab<T, P>& slab, int64_t i, int64_t k, PanelProduct<P>& panel) {
  const Product<T, P>& p = slab.p;
  panel.packed = slab.a != nullptr;
  panel.a_row = p.a.row, panel.a_k = p.a.column;
  if (panel.packed)
    panel.a = slab.a + (k - slab.begin) * ceil_div(p.m, slab.kernels.rows) * slab.kernels.rows + i * panel.k;
  else if constexpr (std::is_same_v<T, P>)
    panel.a = p.a.data + i * p.a.row + k * p.a.column;
}

// B's columns [j, j + panel.n) from k on.
template <typename T, typename P>
void set_b(const Slab<T, P>& slab, int64_t j, int64_t k, PanelProduct<P>& panel) {
  const Product<T, P>& p = slab.p;
  const int64_t width = slab.kernels.columns;
  if (p.packed_b) {
    panel.b = packed_panel(p, slab.kernels.columns, k, panel.k, j / width), panel.b_k = width;
    return;
  }
  const T* b = p.b.data + j * p.b.column;
  if constexpr (std::is_same_v<T, P>)
    if (p.b.column == 1 && panel.n == width && panel.m < kPanelsToPackB * slab.kernels.rows) {
      panel.b = b + k * p.b.row, panel.b_k = p.b.row;
      return;
    }
  P* const packed = thread_scratch<P>(width * kMaxDepth);
  pack_block(p, width, panel.n, k, panel.k, b, p.b.column, p.b.row, packed);
  panel.b = packed, panel.b_k = width;
}

// The panel of B to the right of the one that begins at column j, which is packed after it.
template <typename T, typename P>
Ahead next_panel(const Slab<T, P>& slab, int64_t j, int64_t k) {
  const Product<T, P>& p = slab.p;
  const int64_t width = slab.kernels.columns, from = j + width;
  const T* const b = p.b.data + from * p.b.column + k * kSteps<P> * p.b.row;
  return ahead_of(p.packed_b ? 0 : std::min(width, p.n - from), kSteps<P>, Strided<T>{b, p.b.column, p.b.row});
}

// Without a fused multiply-add in the base instruction set, the row kernel would round differently from the others.
#ifdef __FP_FAST_FMA
constexpr bool kRowKernel = true;
#else
constexpr bool kRowKernel = false;
#endif

template <typename T, typename P>
bool is_plain_row(const Product<T, P>& p) {
  return kRowKernel && std::is_same_v<T, P> && p.m == 1 && !p.packed_b && (p.b.column == 1 || p.b.row == 1);
}

// Rows [i, i_end) of the panels [begin, end) of B.
template <typename T, typename P>
void multiply_columns(const Slab<T, P>& slab, int64_t i, int64_t i_end, int64_t begin, int64_t end) {
  const Product<T, P>& p = slab.p;
  const int64_t width = slab.kernels.columns, depth = block_depth(packed_k(p));
  if constexpr (std::is_same_v<T, P>)
    if (is_plain_row(p)) return multiply_row(p, begin * width, std::min(p.n, end * width));
  PanelProduct<P> panel{.m = i_end - i, .c_row = p.c_row, .c_column = p.c_column};
  for (int64_t k = slab.begin; k < slab.end; k += depth) {
    panel.k = std::min(depth, slab.end - k);
    panel.accumulate = p.accumulate || k > 0;
    set_a(slab, i, k, panel);
    for (int64_t j = begin * width; j < std::min(p.n, end * width); j += width) {
      panel.n = std::min(width, p.n - j);
      set_b(slab, j, k, panel);
      panel.c = p.c + i * p.c_row + j * p.c_column;
      panel.ahead = next_panel(slab, j, k);
      slab.kernels.multiply_panel(panel);
    }
  }
  if (slab.end == packed_k(p)) finish(p, i, i_end, begin * width, std::min(p.n, end * width));
}

// Every block of k of the slab holds all panels of A, one after the other.
template <typename T, typename P>
void pack_slab(const Slab<T, P>& slab, P* packed) {
  const Product<T, P>& p = slab.p;
  const int64_t height = slab.kernels.rows, panels = ceil_div(p.m, height), depth = block_depth(packed_k(p));
  const int64_t blocks = ceil_div(slab.end - slab.begin, depth), work = p.m * (slab.end - slab.begin) * 4;
  for_parts(blocks, panels, 1, work, [&](int64_t block, int64_t q, int64_t q_end) {
    const int64_t k = slab.begin + block * depth, steps = std::min(depth, slab.end - k);
    pack_block(p, height, std::min(p.m, q_end * height) - q * height, k, steps, p.a.data + q * height * p.a.row, p.a.row, p.a.column,
               packed + block * depth * panels * height + q * height * steps);
  });
}

template <typename T, typename P>
void multiply_slab(const Slab<T, P>& slab) {
  const Product<T, P>& p = slab.p;
  const int64_t panels = ceil_div(p.n, slab.kernels.columns), work = p.m * p.n * (slab.end - slab.begin);
  if (work < 2 * kWorthThread) return multiply_columns(slab, 0, p.m, 0, panels);
  const int64_t row_panels = ceil_div(p.m, slab.kernels.rows), parts = std::min(row_panels, ceil_div(2 * num_threads(), panels));
  for_parts(parts, panels, 1, work, [&](int64_t part, int64_t begin, int64_t end) {
    const int64_t i = row_panels * part / parts * slab.kernels.rows, i_end = row_panels * (part + 1) / parts * slab.kernels.rows;
    multiply_columns(slab, i, std::min(p.m, i_end), begin, end);
  });
}

}  // namespace

template <typename T, typename P>
void multiply_by_columns(const Product<T, P>& p, const Kernels<P>& kernels) {
  const int64_t panels = ceil_div(p.n, kernels.columns), height = ceil_div(p.m, kernels.rows) * kernels.rows;
  const int64_t k_all = packed_k(p), deep = std::min(k_all, slab_depth(k_all, height, sizeof(P)));
  if (std::is_same_v<T, P> && (panels < kPanelsToPackA || p.m == 1)) return multiply_slab(Slab<T, P>{p, kernels, 0, k_all, nullptr});
  Buffer<P> packed(deep * height);
  for (int64_t k = 0; k < k_all; k += deep) {
    const Slab<T, P> slab{p, kernels, k, std::min(k_all, k + deep), packed.data()};
    pack_slab(slab, packed.data());
    multiply_slab(slab);
  }
}

template void multiply_by_columns(const Product<float, float>&, const Kernels<float>&);
template void multiply_by_columns(const Product<double, double>&, const Kernels<double>&);
template void multiply_by_columns(const Product<bfloat16, float>&, const Kernels<float>&);
template void multiply_by_columns(const Product<bfloat16, Bf16Pair>&, const Kernels<Bf16Pair>&);
template void multiply_by_columns(const Product<half, float>&, const Kernels<float>&);

}  // namespace plumb::gemm

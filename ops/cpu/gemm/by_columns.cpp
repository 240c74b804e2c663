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

template <typename T>
struct Slab {
  const Product<T>& p;
  const Kernels<Accumulator<T>>& kernels;
  int64_t begin, end;       // of k
  const Accumulator<T>* a;  // packed, or null
};

// A's rows [i, i + panel.m) and steps from k on.
template <typename T>
void set_a(const Slab<T>& slab, int64_t i, int64_t k, PanelProduct<Accumulator<T>>& panel) {
  const Product<T>& p = slab.p;
  panel.packed = slab.a != nullptr;
  panel.a_row = p.a.row, panel.a_k = p.a.column;
  if (panel.packed)
    panel.a = slab.a + (k - slab.begin) * ceil_div(p.m, slab.kernels.rows) * slab.kernels.rows + i * panel.k;
  else if constexpr (std::is_same_v<T, Accumulator<T>>)
    panel.a = p.a.data + i * p.a.row + k * p.a.column;
}

// B's columns [j, j + panel.n) and steps from k on.
template <typename T>
void set_b(const Slab<T>& slab, int64_t j, int64_t k, PanelProduct<Accumulator<T>>& panel) {
  const Product<T>& p = slab.p;
  const int64_t width = slab.kernels.columns;
  if (p.packed_b) {
    panel.b = packed_panel(p, slab.kernels.columns, k, panel.k, j / width), panel.b_k = width;
    return;
  }
  const T* b = p.b.data + k * p.b.row + j * p.b.column;
  if constexpr (std::is_same_v<T, Accumulator<T>>)
    if (p.b.column == 1 && panel.n == width && panel.m < kPanelsToPackB * slab.kernels.rows) {
      panel.b = b, panel.b_k = p.b.row;
      return;
    }
  Accumulator<T>* const packed = thread_scratch<Accumulator<T>>(width * kMaxDepth);
  pack_panels<T>(width, panel.n, panel.k, {b, p.b.column, p.b.row}, packed);
  panel.b = packed, panel.b_k = width;
}

// Without a fused multiply-add in the base instruction set, the row kernel would round differently from the others.
#ifdef __FP_FAST_FMA
constexpr bool kRowKernel = true;
#else
constexpr bool kRowKernel = false;
#endif

template <typename T>
bool is_plain_row(const Product<T>& p) {
  return kRowKernel && std::is_same_v<T, Accumulator<T>> && p.m == 1 && !p.packed_b && (p.b.column == 1 || p.b.row == 1);
}

// Rows [i, i_end) of the panels [begin, end) of B.
template <typename T>
void multiply_columns(const Slab<T>& slab, int64_t i, int64_t i_end, int64_t begin, int64_t end) {
  const Product<T>& p = slab.p;
  const int64_t width = slab.kernels.columns, depth = block_depth(p.k);
  if constexpr (std::is_same_v<T, Accumulator<T>>)
    if (is_plain_row(p)) return multiply_row(p, begin * width, std::min(p.n, end * width));
  PanelProduct<Accumulator<T>> panel{.m = i_end - i, .c_row = p.c_row, .c_column = p.c_column};
  for (int64_t k = slab.begin; k < slab.end; k += depth) {
    panel.k = std::min(depth, slab.end - k);
    panel.accumulate = p.accumulate || k > 0;
    set_a(slab, i, k, panel);
    for (int64_t j = begin * width; j < std::min(p.n, end * width); j += width) {
      panel.n = std::min(width, p.n - j);
      set_b(slab, j, k, panel);
      panel.c = p.c + i * p.c_row + j * p.c_column;
      slab.kernels.multiply_panel(panel);
    }
  }
  if (slab.end == p.k) finish(p, i, i_end, begin * width, std::min(p.n, end * width));
}

// Every block of k of the slab holds all panels of A, one after the other.
template <typename T>
void pack_slab(const Slab<T>& slab, Accumulator<T>* packed) {
  const Product<T>& p = slab.p;
  const int64_t height = slab.kernels.rows, panels = ceil_div(p.m, height), depth = block_depth(p.k);
  const int64_t blocks = ceil_div(slab.end - slab.begin, depth), work = p.m * (slab.end - slab.begin) * 4;
  for_parts(blocks, panels, 1, work, [&](int64_t block, int64_t q, int64_t q_end) {
    const int64_t k = slab.begin + block * depth, steps = std::min(depth, slab.end - k);
    const T* a = p.a.data + q * height * p.a.row + k * p.a.column;
    pack_panels<T>(height, std::min(p.m, q_end * height) - q * height, steps, {a, p.a.row, p.a.column},
                   packed + block * depth * panels * height + q * height * steps);
  });
}

template <typename T>
void multiply_slab(const Slab<T>& slab) {
  const Product<T>& p = slab.p;
  const int64_t panels = ceil_div(p.n, slab.kernels.columns), work = p.m * p.n * (slab.end - slab.begin);
  if (work < 2 * kWorthThread) return multiply_columns(slab, 0, p.m, 0, panels);
  const int64_t row_panels = ceil_div(p.m, slab.kernels.rows), parts = std::min(row_panels, ceil_div(2 * num_threads(), panels));
  for_parts(parts, panels, 1, work, [&](int64_t part, int64_t begin, int64_t end) {
    const int64_t i = row_panels * part / parts * slab.kernels.rows, i_end = row_panels * (part + 1) / parts * slab.kernels.rows;
    multiply_columns(slab, i, std::min(p.m, i_end), begin, end);
  });
}

}  // namespace

template <typename T>
void multiply_by_columns(const Product<T>& p, const Kernels<Accumulator<T>>& kernels) {
  const int64_t panels = ceil_div(p.n, kernels.columns), height = ceil_div(p.m, kernels.rows) * kernels.rows;
  if (std::is_same_v<T, Accumulator<T>> && (panels < kPanelsToPackA || p.m == 1))
    return multiply_slab(Slab<T>{p, kernels, 0, p.k, nullptr});
  const int64_t deep = std::min(p.k, slab_depth(p.k, height, sizeof(Accumulator<T>)));
  Buffer<Accumulator<T>> packed(deep * height);
  for (int64_t k = 0; k < p.k; k += deep) {
    const Slab<T> slab{p, kernels, k, std::min(p.k, k + deep), packed.data()};
    pack_slab(slab, packed.data());
    multiply_slab(slab);
  }
}

template void multiply_by_columns(const Product<float>&, const Kernels<float>&);
template void multiply_by_columns(const Product<double>&, const Kernels<double>&);
template void multiply_by_columns(const Product<bfloat16>&, const Kernels<float>&);
template void multiply_by_columns(const Product<half>&, const Kernels<float>&);

}  // namespace plumb::gemm

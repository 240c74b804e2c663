// Which way a product goes, what happens to it at the end, and products in batches.
#include "ops/cpu/gemm/gemm.h"

#include "ops/cpu/gemm/blocking.h"
#include "ops/cpu/gemm/product.h"
#include "ops/cpu/gemm/scratch.h"

namespace plumb::gemm {
namespace {

// out = activation(sums + bias) for n neighbours of one row; the sums are the result itself unless T is a 16-bit type.
template <typename T>
void finish_row(int64_t n, Accumulator<T>* sums, T* out, bool accumulate, const T* bias, T* before_activation,
                void (*activation)(Accumulator<T>*, int64_t)) {
  using C = Accumulator<T>;
  constexpr bool kRounded = !std::is_same_v<T, C>;
  if (kRounded && accumulate)
    for (int64_t j = 0; j < n; j++) sums[j] += static_cast<C>(out[j]);
  if (bias)
    for (int64_t j = 0; j < n; j++) sums[j] += static_cast<C>(bias[j]);
  if (before_activation)
    for (int64_t j = 0; j < n; j++) before_activation[j] = static_cast<T>(sums[j]);
  if (activation) activation(sums, n);
  if (kRounded)
    for (int64_t j = 0; j < n; j++) out[j] = static_cast<T>(sums[j]);
}

template <typename T, typename P>
Product<T, P> transpose(const Product<T, P>& p) {
  Product<T, P> t = p;
  t.m = p.n, t.n = p.m;
  t.a = {p.b.data, p.b.column, p.b.row}, t.b = {p.a.data, p.a.column, p.a.row};
  t.c_row = p.c_column, t.c_column = p.c_row;
  t.transposed = !p.transposed;
  return t;
}

template <typename T, typename P>
void empty_sum(const Product<T, P>& p) {
  if (!p.accumulate)
    for (int64_t i = 0; i < p.m; i++) std::fill_n(p.c + i * p.c_row, p.n, Accumulator<T>(0));
  finish(p, 0, p.m, 0, p.n);
}

// A narrow C would leave most of a tile's columns unused: its transpose is computed instead, by rows of the tile.
template <typename T, typename P>
void run(const Product<T, P>& p, const Kernels<P>& use) {
  if (p.k == 0) return empty_sum(p);
  if (2 * p.n <= use.columns && p.m > p.n && !p.packed_b) return multiply_by_columns(transpose(p), use);
  p.m > p.n ? multiply_by_rows(p, use) : multiply_by_columns(p, use);
}

// Sums go to the result itself, or, for 16-bit types, to floats that are rounded into it at the end.
template <typename T, typename P>
void run_into(Product<T, P> p, bool accumulate, const Kernels<P>& use) {
  if (p.m <= 0 || p.n <= 0) return;
  if constexpr (std::is_same_v<T, Accumulator<T>>) {
    p.c = p.out, p.c_row = p.out_row, p.accumulate = accumulate;
    run(p, use);
  } else {
    Buffer<Accumulator<T>> sums(p.m * p.n);
    p.c = sums.data(), p.c_row = p.n, p.accumulate_out = accumulate;
    run(p, use);
  }
}

// Calls f(kernels) with those that products of T run on: bf16 by dot products of pairs where there are any.
template <typename T, typename F>
void with_kernels(const F& f) {
  if constexpr (std::is_same_v<T, bfloat16>)
    if (const Kernels<Bf16Pair>* pairs = pair_kernels()) return f(*pairs);
  f(kernels<Accumulator<T>>());
}

}  // namespace

template <typename T, typename P>
void finish(const Product<T, P>& p, int64_t i, int64_t i_end, int64_t j, int64_t j_end) {
  if (!p.out) return;
  const Epilogue<T>& e = *p.epilogue;
  if (std::is_same_v<T, Accumulator<T>> && !e.bias && !e.activation && !e.before_activation) return;
  if (p.transposed) return finish(transpose(p), j, j_end, i, i_end);
  for (int64_t row = i; row < i_end; row++) {
    const int64_t offset = row * p.out_row + j;
    finish_row<T>(j_end - j, p.c + row * p.c_row + j, p.out + offset, p.accumulate_out, e.bias ? e.bias + j : nullptr,
                  e.before_activation ? e.before_activation + offset : nullptr, e.activation);
  }
}

template <typename T>
void multiply(int64_t m, int64_t n, int64_t k, MatrixView<T> a, MatrixView<T> b, T* c, int64_t c_row, bool accumulate,
              const Epilogue<T>& epilogue) {
  with_kernels<T>([&]<typename P>(const Kernels<P>& use) {
    run_into(Product<T, P>{.m = m, .n = n, .k = k, .a = a, .b = b, .c_column = 1, .out = c, .out_row = c_row, .epilogue = &epilogue},
             accumulate, use);
  });
}

void multiply(int64_t m, int64_t n, int64_t k, MatrixView<bfloat16> a, MatrixView<bfloat16> b, float* c, int64_t c_row, bool accumulate) {
  if (m <= 0 || n <= 0) return;
  with_kernels<bfloat16>([&]<typename P>(const Kernels<P>& use) {
    run(Product<bfloat16, P>{.m = m, .n = n, .k = k, .a = a, .b = b, .c = c, .c_row = c_row, .c_column = 1, .accumulate = accumulate}, use);
  });
}

template <typename T>
PackedMatrix<T>::PackedMatrix(int64_t k, int64_t n, MatrixView<T> b) : k_(k), n_(n) {
  with_kernels<T>([&]<typename P>(const Kernels<P>& use) {
    const Product<T, P> p{.n = n, .k = k, .b = b};
    auto& panels = std::get<std::optional<Panels<P>>>(panels_).emplace(use, packed_k(p) * ceil_div(n, use.columns) * use.columns);
    if (k > 0 && n > 0) pack_b(p, use, 0, packed_k(p), panels.elements.data());
  });
}

template <typename T>
void multiply(int64_t m, MatrixView<T> a, const PackedMatrix<T>& b, T* c, int64_t c_row, bool accumulate, const Epilogue<T>& epilogue) {
  const auto run_packed = [&]<typename P>(const std::optional<Panels<P>>& panels) {
    if (!panels) return;
    run_into(Product<T, P>{.m = m,
                           .n = b.n_,
                           .k = b.k_,
                           .a = a,
                           .packed_b = panels->elements.data(),
                           .c_column = 1,
                           .out = c,
                           .out_row = c_row,
                           .epilogue = &epilogue},
             accumulate, panels->kernels);
  };
  std::apply([&](const auto&... panels) { (run_packed(panels), ...); }, b.panels_);
}

template <typename T>
void multiply_batched(int64_t batch, int64_t m, int64_t n, int64_t k, MatrixView<T> a, int64_t a_batch, MatrixView<T> b, int64_t b_batch,
                      T* c, int64_t c_row, int64_t c_batch, bool accumulate, const Epilogue<T>& epilogue) {
  if (batch <= 0 || m <= 0 || n <= 0) return;
  if (b_batch == 0 && a_batch == m * a.row && c_batch == m * c_row)  // one product of more rows
    return multiply(batch * m, n, k, a, b, c, c_row, accumulate, epilogue);
  const auto multiply_one = [&](int64_t q) {
    Epilogue<T> e = epilogue;
    if (e.before_activation) e.before_activation += q * c_batch;
    multiply<T>(m, n, k, {a.data + q * a_batch, a.row, a.column}, {b.data + q * b_batch, b.row, b.column}, c + q * c_batch, c_row,
                accumulate, e);
  };
  const int64_t work = std::max<int64_t>(1, m * n * k);
  const bool split_each = batch < 4 * num_threads() && work >= 16 * kWorthThread;
  parallel_for(batch, split_each ? batch : ceil_div(kWorthThread, work), [&](int64_t begin, int64_t end) {
    for (int64_t q = begin; q < end; q++) multiply_one(q);
  });
}

template class PackedMatrix<float>;
template void multiply(int64_t, MatrixView<float>, const PackedMatrix<float>&, float*, int64_t, bool, const Epilogue<float>&);
template void multiply(int64_t, int64_t, int64_t, MatrixView<float>, MatrixView<float>, float*, int64_t, bool, const Epilogue<float>&);
template void multiply_batched(int64_t, int64_t, int64_t, int64_t, MatrixView<float>, int64_t, MatrixView<float>, int64_t, float*, int64_t,
                               int64_t, bool, const Epilogue<float>&);
template class PackedMatrix<double>;
template void multiply(int64_t, MatrixView<double>, const PackedMatrix<double>&, double*, int64_t, bool, const Epilogue<double>&);
template void multiply(int64_t, int64_t, int64_t, MatrixView<double>, MatrixView<double>, double*, int64_t, bool, const Epilogue<double>&);
template void multiply_batched(int64_t, int64_t, int64_t, int64_t, MatrixView<double>, int64_t, MatrixView<double>, int64_t, double*,
                               int64_t, int64_t, bool, const Epilogue<double>&);
template class PackedMatrix<bfloat16>;
template void multiply(int64_t, MatrixView<bfloat16>, const PackedMatrix<bfloat16>&, bfloat16*, int64_t, bool, const Epilogue<bfloat16>&);
template void multiply(int64_t, int64_t, int64_t, MatrixView<bfloat16>, MatrixView<bfloat16>, bfloat16*, int64_t, bool,
                       const Epilogue<bfloat16>&);
template void multiply_batched(int64_t, int64_t, int64_t, int64_t, MatrixView<bfloat16>, int64_t, MatrixView<bfloat16>, int64_t, bfloat16*,
                               int64_t, int64_t, bool, const Epilogue<bfloat16>&);
template class PackedMatrix<half>;
template void multiply(int64_t, MatrixView<half>, const PackedMatrix<half>&, half*, int64_t, bool, const Epilogue<half>&);
template void multiply(int64_t, int64_t, int64_t, MatrixView<half>, MatrixView<half>, half*, int64_t, bool, const Epilogue<half>&);
template void multiply_batched(int64_t, int64_t, int64_t, int64_t, MatrixView<half>, int64_t, MatrixView<half>, int64_t, half*, int64_t,
                               int64_t, bool, const Epilogue<half>&);

}  // namespace plumb::gemm

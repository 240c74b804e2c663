// One row times a matrix: as many bytes as multiply-adds, so nothing is packed, and B is read once, in the order it lies.
// Bytes: k · n elements of B. Bound: memory.
#include <algorithm>
#include <cmath>
#include <cstring>

#ifdef __FMA__
#include <immintrin.h>
#endif

#include "ops/cpu/gemm/blocking.h"
#include "ops/cpu/gemm/product.h"
#include "ops/cpu/gemm/scratch.h"

namespace plumb::gemm {
namespace {

constexpr int64_t kChunk = 2048;  // columns whose sums stay in L1

// sums(j) = Σ_p x(p) b(p, j) over rows of B that are contiguous: eight rows a sweep, each element still one chain in the order of p.
template <typename T>
void sum_rows(int64_t n, int64_t k, const T* x, int64_t x_step, const T* b, int64_t b_row, T* __restrict sums) {
  std::fill_n(sums, n, T(0));
  int64_t p = 0;
  for (; p + 8 <= k; p += 8) {
    const T* const row = b + p * b_row;
    T w[8];
    for (int i = 0; i < 8; i++) w[i] = x[(p + i) * x_step];
    for (int64_t j = 0; j < n; j++) {
      T sum = sums[j];
      for (int i = 0; i < 8; i++) sum = std::fma(w[i], row[i * b_row + j], sum);
      sums[j] = sum;
    }
  }
  for (; p < k; p++)
    for (int64_t j = 0; j < n; j++) sums[j] = std::fma(x[p * x_step], b[p * b_row + j], sums[j]);
}

template <typename T>
using Four __attribute__((vector_size(4 * sizeof(T)))) = T;

template <typename T>
Four<T> load(const T* x) {
  Four<T> v;
  std::memcpy(&v, x, sizeof v);
  return v;
}

#ifdef __FMA__
Four<float> fma(Four<float> x, Four<float> y, Four<float> z) { return _mm_fmadd_ps(x, y, z); }
Four<double> fma(Four<double> x, Four<double> y, Four<double> z) { return _mm256_fmadd_pd(x, y, z); }
#else
template <typename V>
V fma(V x, V y, V z) {
  for (int i = 0; i < 4; i++) z[i] = std::fma(x[i], y[i], z[i]);
  return z;
}
#endif

// sum + w(0) b(0, ·) + … + w(3) b(3, ·) for four columns, `column` apart and contiguous along k: a transpose in registers.
template <typename T>
Four<T> add_four_steps(Four<T> sum, const T* b, int64_t column, const T* w) {
  const Four<T> b0 = load<T>(b), b1 = load<T>(b + column), b2 = load<T>(b + 2 * column), b3 = load<T>(b + 3 * column), zero{};
  const Four<T> low01 = __builtin_shufflevector(b0, b1, 0, 4, 1, 5), high01 = __builtin_shufflevector(b0, b1, 2, 6, 3, 7);
  const Four<T> low23 = __builtin_shufflevector(b2, b3, 0, 4, 1, 5), high23 = __builtin_shufflevector(b2, b3, 2, 6, 3, 7);
  sum = fma(w[0] - zero, __builtin_shufflevector(low01, low23, 0, 1, 4, 5), sum);
  sum = fma(w[1] - zero, __builtin_shufflevector(low01, low23, 2, 3, 6, 7), sum);
  sum = fma(w[2] - zero, __builtin_shufflevector(high01, high23, 0, 1, 4, 5), sum);
  return fma(w[3] - zero, __builtin_shufflevector(high01, high23, 2, 3, 6, 7), sum);
}

constexpr int64_t kColumns = 16;  // four independent chains of vectors, to hide the latency of one

// The steps [0, k / 4 · 4) of kColumns sums.
template <typename T>
void sum_sixteen_columns(int64_t k, const T* x, int64_t x_step, const T* b, int64_t b_column, T* sums) {
  Four<T> s0{}, s1{}, s2{}, s3{};
  for (int64_t p = 0; p + 4 <= k; p += 4) {
    const T w[4] = {x[p * x_step], x[(p + 1) * x_step], x[(p + 2) * x_step], x[(p + 3) * x_step]};
    s0 = add_four_steps<T>(s0, b + p, b_column, w);
    s1 = add_four_steps<T>(s1, b + p + 4 * b_column, b_column, w);
    s2 = add_four_steps<T>(s2, b + p + 8 * b_column, b_column, w);
    s3 = add_four_steps<T>(s3, b + p + 12 * b_column, b_column, w);
  }
  const Four<T> all[4] = {s0, s1, s2, s3};
  std::memcpy(sums, all, sizeof all);
}

// The same sums over columns of B that are contiguous.
template <typename T>
void sum_columns(int64_t n, int64_t k, const T* x, int64_t x_step, const T* b, int64_t b_column, T* sums) {
  std::fill_n(sums, n, T(0));
  for (int64_t j = 0; j < n; j += kColumns) {
    const int64_t columns = std::min(kColumns, n - j);
    const T* const first = b + j * b_column;
    if (columns == kColumns) sum_sixteen_columns(k, x, x_step, first, b_column, sums + j);
    for (int64_t p = columns == kColumns ? k / 4 * 4 : 0; p < k; p++)
      for (int64_t l = 0; l < columns; l++) sums[j + l] = std::fma(x[p * x_step], first[l * b_column + p], sums[j + l]);
  }
}

}  // namespace

template <typename T>
void multiply_row(const Product<T, T>& p, int64_t j, int64_t j_end) {
  const int64_t depth = block_depth(p.k);
  T* const sums = thread_scratch<T>(kChunk);
  for (; j < j_end; j += kChunk) {
    const int64_t n = std::min(kChunk, j_end - j);
    for (int64_t k = 0; k < p.k; k += depth) {
      const int64_t steps = std::min(depth, p.k - k);
      const T *x = p.a.data + k * p.a.column, *b = p.b.data + k * p.b.row + j * p.b.column;
      p.b.column == 1 ? sum_rows(n, steps, x, p.a.column, b, p.b.row, sums) : sum_columns(n, steps, x, p.a.column, b, p.b.column, sums);
      T* const c = p.c + j * p.c_column;
      for (int64_t l = 0; l < n; l++) c[l * p.c_column] = p.accumulate || k > 0 ? c[l * p.c_column] + sums[l] : sums[l];
    }
    finish(p, 0, 1, j, j + n);
  }
}

template void multiply_row(const Product<float, float>&, int64_t, int64_t);
template void multiply_row(const Product<double, double>&, int64_t, int64_t);

}  // namespace plumb::gemm

// The matrix product against OpenBLAS and against a plain loop, on square shapes, those of a small transformer, and thin ones.
// Run with OPENBLAS_CORETYPE unset, and with --benchmark_enable_random_interleaving=true --benchmark_repetitions=9 on a machine that
// others use too: then both sides meet the same noise.
#include <benchmark/benchmark.h>
#include <cblas.h>

#include <cstdlib>
#include <memory>
#include <string>

#include "engine/core/parallel.h"
#include "ops/cpu/gemm/gemm.h"

namespace {

using namespace plumb;

// C [m, n] = A [m, k] · B [k, n], `batch` times; transposed operands are stored as [k, m] and [n, k].
struct Shape {
  const char* name;
  int64_t batch, m, n, k;
  bool a_transposed = false, b_transposed = false;
};

constexpr Shape kShapes[] = {
    {"512", 1, 512, 512, 512},
    {"1024", 1, 1024, 1024, 1024},
    {"2048", 1, 2048, 2048, 2048},
    {"gpt_qkv", 1, 2048, 1152, 384, false, true},
    {"gpt_projection", 1, 2048, 384, 384, false, true},
    {"gpt_up", 1, 2048, 1536, 384, false, true},
    {"gpt_down", 1, 2048, 384, 1536, false, true},
    {"gpt_up_row_major", 1, 2048, 1536, 384},
    {"gpt_down_row_major", 1, 2048, 384, 1536},
    {"gpt_up_dW", 1, 1536, 384, 2048, true, false},
    {"gpt_down_dW", 1, 384, 1536, 2048, true, false},
    {"gpt_up_dX", 1, 2048, 384, 1536},
    {"gpt_down_dX", 1, 2048, 1536, 384},
    {"attention_scores", 48, 256, 256, 64, false, true},
    {"attention_values", 48, 256, 64, 256},
    {"odd", 1, 257, 255, 513},
    {"7_rows", 1, 7, 1000, 1000, false, true},
    {"1_row", 1, 1, 1000, 1000, false, true},
    {"1_column", 1, 1000, 1, 1000},
    {"classifier", 1, 128, 10, 784, false, true},
    {"64", 1, 64, 64, 64},
    {"16", 1, 16, 16, 16},
    {"4", 1, 4, 4, 4},
};

template <typename T>
using Values = std::unique_ptr<T[], decltype(&std::free)>;

template <typename T>
Values<T> values(int64_t count) {
  Values<T> x(static_cast<T*>(std::aligned_alloc(64, (count * sizeof(T) + 63) / 64 * 64)), std::free);
  for (int64_t i = 0; i < count; i++) x[i] = T(static_cast<float>(i % 17) / 16 - 0.5f);
  return x;
}

template <typename T>
struct Operands {
  explicit Operands(const Shape& s)
      : a(values<T>(s.batch * s.m * s.k)), b(values<T>(s.batch * s.k * s.n)), c(values<T>(s.batch * s.m * s.n)) {}
  Values<T> a, b, c;
};

template <typename T>
gemm::MatrixView<T> view(const T* x, int64_t rows, int64_t columns, bool transposed) {
  return transposed ? gemm::MatrixView<T>{x, 1, rows} : gemm::MatrixView<T>{x, columns, 1};
}

template <typename T>
void multiply_own(const Shape& s, const Operands<T>& x) {
  gemm::multiply_batched<T>(s.batch, s.m, s.n, s.k, view(x.a.get(), s.m, s.k, s.a_transposed), s.m * s.k,
                            view(x.b.get(), s.k, s.n, s.b_transposed), s.k * s.n, x.c.get(), s.n, s.m * s.n);
}

void blas(CBLAS_TRANSPOSE ta, CBLAS_TRANSPOSE tb, const Shape& s, const float* a, int lda, const float* b, int ldb, float* c) {
  cblas_sgemm(CblasRowMajor, ta, tb, s.m, s.n, s.k, 1, a, lda, b, ldb, 0, c, s.n);
}
void blas(CBLAS_TRANSPOSE ta, CBLAS_TRANSPOSE tb, const Shape& s, const double* a, int lda, const double* b, int ldb, double* c) {
  cblas_dgemm(CblasRowMajor, ta, tb, s.m, s.n, s.k, 1, a, lda, b, ldb, 0, c, s.n);
}

// One product: OpenBLAS with its own threads. A batch: our pool over the products, each a serial call, which is OpenBLAS at its best.
template <typename T>
void multiply_openblas(const Shape& s, const Operands<T>& x) {
  openblas_set_num_threads(s.batch == 1 ? num_threads() : 1);
  parallel_for(s.batch, 1, [&](int64_t begin, int64_t end) {
    for (int64_t q = begin; q < end; q++)
      blas(s.a_transposed ? CblasTrans : CblasNoTrans, s.b_transposed ? CblasTrans : CblasNoTrans, s, x.a.get() + q * s.m * s.k,
           static_cast<int>(s.a_transposed ? s.m : s.k), x.b.get() + q * s.k * s.n, static_cast<int>(s.b_transposed ? s.k : s.n),
           x.c.get() + q * s.m * s.n);
  });
}

// What a first version would be: rows of C as sums of rows of B, on all threads.
template <typename T>
void multiply_plain(const Shape& s, const Operands<T>& x) {
  const auto a = view(x.a.get(), s.m, s.k, s.a_transposed), b = view(x.b.get(), s.k, s.n, s.b_transposed);
  parallel_for(s.batch * s.m, 1, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; row++) {
      const int64_t q = row / s.m, i = row % s.m;
      T* const c = x.c.get() + row * s.n;
      for (int64_t j = 0; j < s.n; j++) c[j] = 0;
      for (int64_t p = 0; p < s.k; p++)
        for (int64_t j = 0; j < s.n; j++)
          c[j] += a.data[q * s.m * s.k + i * a.row + p * a.column] * b.data[q * s.k * s.n + p * b.row + j * b.column];
    }
  });
}

template <typename T>
void run(benchmark::State& state, const Shape& s, void (*multiply)(const Shape&, const Operands<T>&)) {
  const Operands<T> x(s);
  multiply(s, x);
  for (auto _ : state) {
    multiply(s, x);
    benchmark::ClobberMemory();
  }
  state.counters["GFLOP/s"] =
      benchmark::Counter(2e-9 * static_cast<double>(s.batch * s.m * s.n * s.k), benchmark::Counter::kIsIterationInvariantRate);
}

template <typename T>
void add(const char* type, const char* side, void (*multiply)(const Shape&, const Operands<T>&)) {
  for (const Shape& s : kShapes) {
    const std::string name = std::string("gemm/") + type + "/" + s.name + "/" + side;
    benchmark::RegisterBenchmark(name.c_str(), [&s, multiply](benchmark::State& state) { run(state, s, multiply); })->UseRealTime();
  }
}

const bool registered = [] {
  add<float>("f32", "plumb", multiply_own<float>);
  add<float>("f32", "openblas", multiply_openblas<float>);
  add<float>("f32", "plain", multiply_plain<float>);
  add<double>("f64", "plumb", multiply_own<double>);
  add<double>("f64", "openblas", multiply_openblas<double>);
  add<plumb::bfloat16>("bf16", "plumb", multiply_own<plumb::bfloat16>);
  return true;
}();

}  // namespace

// The matrix product beside OpenBLAS, oneDNN and a plain loop: square shapes, those of a small transformer, and thin ones.
// A shape is rows x columns x inner, times the batch; nt: the right operand is stored transposed, as a linear layer's weight; tn: the left
// one.
#include <cblas.h>

#include "bench/gpu.h"
#include "bench/onednn.h"
#include "bench/suite.h"
#include "engine/core/parallel.h"
#include "ops/matmul.h"
#include "ops/shape.h"

using namespace plumb;
using namespace plumb::bench;

namespace {

struct Product {
  int64_t m, n, k, batch = 1;
  bool a_transposed = false, b_transposed = false;
  std::string name() const {
    return dims({m, n, k}) + (batch > 1 ? "x" + std::to_string(batch) : "") + (a_transposed ? "-tn" : b_transposed ? "-nt" : "");
  }
  double multiply_adds() const { return static_cast<double>(batch * m) * static_cast<double>(n * k); }
};

constexpr Product kProducts[] = {
    {1024, 1024, 1024},
    {2048, 2048, 2048},
    {2048, 1152, 384, 1, false, true},  // queries, keys and values of a GPT
    {2048, 384, 384, 1, false, true},   // its projection
    {2048, 1536, 384, 1, false, true},  // its feed-forward network, up
    {2048, 384, 1536, 1, false, true},  // and down
    {1536, 384, 2048, 1, true},         // gradients of its weights
    {384, 1536, 2048, 1, true},
    {2048, 384, 1536},                  // and of its inputs
    {2048, 1536, 384},
    {256, 256, 64, 48, false, true},    // attention's scores
    {257, 255, 513},
    {7, 1000, 1000, 1, false, true},
    {1, 1000, 1000, 1, false, true},
    {128, 10, 784, 1, false, true},     // a classifier of digits
    {64, 64, 64},
    {16, 16, 16},
};
constexpr Product kGpuProducts[] = {{4096, 4096, 4096},
                                    {16384, 2304, 768, 1, false, true},
                                    {16384, 3072, 768, 1, false, true},
                                    {16384, 768, 3072, 1, false, true},
                                    {16384, 50304, 768, 1, false, true},
                                    {3072, 768, 16384, 1, true}};

struct Operands {
  Tensor a, b, c;  // as stored: [batch, m, k] or [batch, k, m], …
  Operands(const Product& p, DType type)
      : a(normal(p.a_transposed ? Shape{p.batch, p.k, p.m} : Shape{p.batch, p.m, p.k}, type)),
        b(normal(p.b_transposed ? Shape{p.batch, p.n, p.k} : Shape{p.batch, p.k, p.n}, type)), c(normal({p.batch, p.m, p.n}, type)) {}
};

std::function<void()> own(const Product& p, DType type) {
  Operands x(p, type);
  Tensor a = p.batch == 1 ? select(x.a, 0, 0) : x.a, b = p.batch == 1 ? select(x.b, 0, 0) : x.b;
  if (p.a_transposed) a = mT(a);
  if (p.b_transposed) b = mT(b);
  return [=] { matmul(a, b); };
}

// One product: OpenBLAS with its own threads. A batch: our pool over the products, each a serial call, which is OpenBLAS at its best.
std::function<void()> openblas(const Product& p) {
  Operands x(p, f32);
  openblas_set_num_threads(p.batch == 1 ? num_threads() : 1);
  return [=] {
    const float *a = x.a.data<float>(), *b = x.b.data<float>();
    float* c = written(x.c);
    int m = static_cast<int>(p.m), n = static_cast<int>(p.n), k = static_cast<int>(p.k);
    parallel_for(p.batch, 1, [&](int64_t begin, int64_t end) {
      for (int64_t q = begin; q < end; ++q)
        cblas_sgemm(CblasRowMajor, p.a_transposed ? CblasTrans : CblasNoTrans, p.b_transposed ? CblasTrans : CblasNoTrans, m, n, k, 1,
                    a + q * p.m * p.k, p.a_transposed ? m : k, b + q * p.k * p.n, p.b_transposed ? k : n, 0, c + q * p.m * p.n, n);
    });
  };
}

// What a first version would be: rows of C as sums of rows of B, on all threads.
std::function<void()> plain(const Product& p) {
  Operands x(p, f32);
  return [=] {
    const float *a = x.a.data<float>(), *b = x.b.data<float>();
    float* c = written(x.c);
    parallel_for(p.batch * p.m, 1, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        const int64_t q = row / p.m, i = row % p.m;
        for (int64_t j = 0; j < p.n; ++j) c[row * p.n + j] = 0;
        for (int64_t s = 0; s < p.k; ++s) {
          const float left = a[q * p.m * p.k + (p.a_transposed ? s * p.m + i : i * p.k + s)];
          for (int64_t j = 0; j < p.n; ++j) c[row * p.n + j] += left * b[q * p.k * p.n + (p.b_transposed ? j * p.k + s : s * p.n + j)];
        }
      }
    });
  };
}

std::function<void()> by_onednn(const Product& p) {
  Operands x(p, f32);
  return onednn::product({p.batch, p.m, p.n, p.k, p.a_transposed, p.b_transposed}, x.a.data<float>(), x.b.data<float>(), written(x.c));
}

void rows(const Product& p) {
  Work work{4 * static_cast<double>(p.batch) * static_cast<double>(p.m * p.k + p.k * p.n + p.m * p.n), 2 * p.multiply_adds()};
  row("gemm", p.name(), f32, "plumb", work, [p] { return own(p, f32); });
  row("gemm", p.name(), bf16, "plumb", {work.bytes / 2, work.flops}, [p] { return own(p, bf16); });
  for (DType type : {f32, bf16}) {
    Work moved{type == f32 ? work.bytes : work.bytes / 2, work.flops};
    gpu::Product same{p.m, p.n, p.k, p.a_transposed, p.b_transposed};
    gpu_row("gemm", p.name(), type, "cublaslt", moved, [=] { return gpu::cublaslt_product(same, type); });
    gpu_row("gemm", p.name(), type, "plain", moved, [=] { return gpu::plain::product(same, type); });
  }
  row("gemm", p.name(), f32, "openblas", work, [p] { return openblas(p); });
  row("gemm", p.name(), f32, "plain", work, [p] { return plain(p); });
  if (onednn::available) row("gemm", p.name(), f32, "onednn", work, [p] { return by_onednn(p); });
}

const bool registered = suite([] {
  if (on_cpu())
    for (const Product& p : kProducts) rows(p);
  else
    for (const Product& p : kGpuProducts) rows(p);
});

}  // namespace

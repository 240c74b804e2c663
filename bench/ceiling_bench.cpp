// What the machine can do at most, as far as measured: every other row is a share of it. Copies of few bytes stay in a cache, so there
// are three sizes; products are our own and OpenBLAS's.
#include <cblas.h>

#include "bench/suite.h"
#include "engine/core/data_kernels.h"
#include "engine/core/parallel.h"
#include "ops/create.h"
#include "ops/matmul.h"

using namespace plumb;
using namespace plumb::bench;

namespace {

void copies(int64_t numbers) {
  row("ceiling_copy", dims({numbers}), f32, "plumb", {2 * 4 * static_cast<double>(numbers), 0}, [=] {
    Tensor x = zeros({numbers}, f32, device()), y = zeros({numbers}, f32, device());
    return [=]() mutable { copy_data(x, y); };
  });
}

void products(int64_t n, DType type) {
  Work work{0, 2 * static_cast<double>(n) * static_cast<double>(n) * static_cast<double>(n)};
  row("ceiling_product", dims({n, n, n}), type, "plumb", work, [=] {
    Tensor a = normal({n, n}, type), b = normal({n, n}, type);
    return [=] { matmul(a, b); };
  });
  if (type != f32) return;
  row("ceiling_product", dims({n, n, n}), type, "openblas", work, [=] {
    openblas_set_num_threads(num_threads());
    Tensor a = normal({n, n}), b = normal({n, n}), c = normal({n, n});
    int size = static_cast<int>(n);
    return [=] {
      cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, size, size, size, 1, a.data<float>(), size, b.data<float>(), size, 0,
                  written(c), size);
    };
  });
}

const bool registered = suite([] {
  copies(1 << 20);
  copies(1 << 22);
  copies(sized(1 << 28, 1 << 24));
  for (DType type : {f32, bf16})
    for (int64_t n : on_cpu() ? std::vector<int64_t>{1024, 2048} : std::vector<int64_t>{4096, 8192}) products(n, type);
});

}  // namespace

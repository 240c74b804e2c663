// What moves or adds up: copies, transposes, reductions, and lookups in a table of embeddings with their gradient.
#include <cstring>

#include "bench/gpu.h"
#include "bench/suite.h"
#include "engine/core/data_kernels.h"
#include "engine/core/parallel.h"
#include "ops/embedding.h"
#include "ops/reduce.h"
#include "ops/shape.h"

using namespace plumb;
using namespace plumb::bench;

namespace {

void copy_rows(int64_t n, int64_t m) {
  double bytes = 4 * static_cast<double>(n) * static_cast<double>(m);
  row("copy", dims({n, m}), f32, "plumb", {2 * bytes, 0}, [=] {
    Tensor x = normal({n, m}), y = normal({n, m});
    return [=]() mutable { copy_data(x, y); };
  });
  row("copy", dims({n, m}), f32, "plain", {2 * bytes, 0}, [=] {
    Tensor x = normal({n, m}), y = normal({n, m});
    return [=] { std::memcpy(written(y), x.data<float>(), static_cast<size_t>(bytes)); };
  });
  for (bool transposed : {false, true})
    gpu_row(transposed ? "copy_transposed" : "copy", dims({n, m}), f32, "plain", {2 * bytes, 0},
            [=] { return gpu::plain::copy(n, m, transposed); });
  row("copy_transposed", dims({n, m}), f32, "plumb", {2 * bytes, 0}, [=] {
    Tensor x = mT(normal({m, n})), y = normal({n, m});
    return [=]() mutable { copy_data(x, y); };
  });
  row("copy_transposed", dims({n, m}), f32, "plain", {2 * bytes, 0}, [=] {
    Tensor x = normal({m, n}), y = normal({n, m});
    return [=] {
      parallel_for(n, 1, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i)
          for (int64_t j = 0; j < m; ++j) written(y)[i * m + j] = x.data<float>()[j * n + i];
      });
    };
  });
}

void reduction_rows(int64_t n, int64_t m, DType type) {
  double numbers = static_cast<double>(n * m), bytes = numbers * static_cast<double>(item_size(type));
  for (auto [name, dim] : {std::pair{"sum_rows", 1}, {"sum_columns", 0}})
    row(name, dims({n, m}), type, "plumb", {bytes, numbers}, [=, dim = dim] {
      Tensor x = normal({n, m}, type);
      return [=] { sum(x, {dim}); };
    });
  row("sum_all", dims({n, m}), type, "plumb", {bytes, numbers}, [=] {
    Tensor x = normal({n, m}, type);
    return [=] { sum(x); };
  });
  gpu_row("sum_rows", dims({n, m}), type, "plain", {bytes, numbers}, [=] { return gpu::plain::sum_rows(n, m, type); });
  if (type != f32) return;
  row("sum_rows", dims({n, m}), f32, "plain", {bytes, numbers}, [=] {
    Tensor x = normal({n, m}), y = normal({n});
    return [=] {
      parallel_for(n, 1, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
          float total = 0;
          for (int64_t j = 0; j < m; ++j) total += x.data<float>()[i * m + j];
          written(y)[i] = total;
        }
      });
    };
  });
}

// Forward reads and writes a row a token; backward reads a row a token and writes the whole table's gradient.
void embedding_rows(int64_t tokens, int64_t vocabulary, int64_t width) {
  double rows = 4 * static_cast<double>(tokens) * static_cast<double>(width),
         table = 4 * static_cast<double>(vocabulary) * static_cast<double>(width);
  std::string name = dims({tokens, vocabulary, width});
  row("embedding", name, f32, "plumb", {2 * rows, 0}, [=] {
    Tensor weight = normal({vocabulary, width}), at = integers(vocabulary, {tokens});
    return [=] { embedding(weight, at); };
  });
  row("embedding_backward", name, f32, "plumb", {2 * rows + table, rows / 4}, [=] {
    Tensor weight = normal({vocabulary, width}).requires_grad_(), at = integers(vocabulary, {tokens});
    return backward_call(embedding(weight, at), normal({tokens, width}), {weight});
  });
  gpu_row("embedding", name, f32, "plain", {2 * rows, 0}, [=] { return gpu::plain::embedding(tokens, vocabulary, width); });
  row("embedding", name, f32, "plain", {2 * rows, 0}, [=] {
    Tensor weight = normal({vocabulary, width}), at = integers(vocabulary, {tokens}), y = normal({tokens, width});
    return [=] {
      for (int64_t i = 0; i < tokens; ++i)
        std::memcpy(written(y) + i * width, weight.data<float>() + at.data<int64_t>()[i] * width, static_cast<size_t>(width) * 4);
    };
  });
}

const bool registered = suite([] {
  copy_rows(sized(8192, 2048), sized(8192, 1536));
  for (DType type : types()) reduction_rows(sized(65536, 3072), 1024, type);
  embedding_rows(sized(16384, 2048), sized(50304, 4096), sized(768, 384));
});

}  // namespace

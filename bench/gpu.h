// What Plumb's kernels are measured against on a GPU: kernels as a first version would be, and NVIDIA's libraries alone.
// A call works on its own operands of the chosen device; nothing is said about its results.
#pragma once
#include <cstdint>
#include <functional>

#include "bench/convolution.h"
#include "engine/core/dtype.h"

namespace plumb::bench::gpu {

/// Whether this program was built with CUDA. Without, every function here gives an empty call.
extern const bool available;

/// c = a b, all row-major (a transposed operand: its transpose is).
struct Product {
  int64_t m, n, k;
  bool a_transposed, b_transposed;
};

/// One thread an element, or one block a row, and nothing clever (bench/cuda/plain.cu). f32 or bf16, sums in f32.
namespace plain {
std::function<void()> product(const Product& p, DType type);
std::function<void()> convolution(const Convolution& c, DType type);
std::function<void()> attention(int64_t heads, int64_t length, int64_t width, DType type);  ///< causal
std::function<void()> softmax(int64_t rows, int64_t columns, DType type);
std::function<void()> cross_entropy(int64_t rows, int64_t columns, DType type);
std::function<void()> layer_norm(int64_t rows, int64_t columns, DType type);
std::function<void()> sum_rows(int64_t rows, int64_t columns, DType type);
std::function<void()> copy(int64_t rows, int64_t columns, bool transposed);
std::function<void()> embedding(int64_t tokens, int64_t vocabulary, int64_t width);
std::function<void()> add(int64_t count, DType type);
std::function<void()> gelu(int64_t count, DType type);
std::function<void()> silu(int64_t count, DType type);
std::function<void()> adamw(int64_t count);
}  // namespace plain

/// cuBLASLt's product, by the algorithm that its heuristics hold for best.
std::function<void()> cublaslt_product(const Product& p, DType type);
/// cuDNN's convolution of channels-last images, by the algorithm that it holds for best, deterministic or not; f32 without TF32.
std::function<void()> cudnn_convolution(const Convolution& c, Pass pass, DType type);

}  // namespace plumb::bench::gpu

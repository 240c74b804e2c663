// Built without CUDA: no reference calls.
#include "bench/gpu.h"

namespace plumb::bench::gpu {

const bool available = false;

namespace plain {
std::function<void()> product(const Product&, DType) { return {}; }
std::function<void()> convolution(const Convolution&, DType) { return {}; }
std::function<void()> attention(int64_t, int64_t, int64_t, DType) { return {}; }
std::function<void()> softmax(int64_t, int64_t, DType) { return {}; }
std::function<void()> cross_entropy(int64_t, int64_t, DType) { return {}; }
std::function<void()> layer_norm(int64_t, int64_t, DType) { return {}; }
std::function<void()> sum_rows(int64_t, int64_t, DType) { return {}; }
std::function<void()> copy(int64_t, int64_t, bool) { return {}; }
std::function<void()> embedding(int64_t, int64_t, int64_t) { return {}; }
std::function<void()> add(int64_t, DType) { return {}; }
std::function<void()> gelu(int64_t, DType) { return {}; }
std::function<void()> silu(int64_t, DType) { return {}; }
std::function<void()> adamw(int64_t) { return {}; }
}  // namespace plain

std::function<void()> cublaslt_product(const Product&, DType) { return {}; }
std::function<void()> cudnn_convolution(const Convolution&, Pass, DType) { return {}; }

}  // namespace plumb::bench::gpu

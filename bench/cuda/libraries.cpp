// cuBLASLt's product and cuDNN's convolution alone, on operands as the libraries like them, and their heuristics' first choice.
#include <cublasLt.h>
#include <cudnn.h>

#include <array>
#include <memory>

#include "bench/gpu.h"
#include "bench/suite.h"
#include "cuda/libraries/library_handles.h"
#include "cuda/runtime/stream.h"
#include "engine/core/error.h"

namespace plumb::bench::gpu {
namespace {

using cuda_backend::check;
using cuda_backend::current_stream;

constexpr int64_t kWorkspace = int64_t{64} << 20;
constexpr float kOne = 1, kZero = 0;

Tensor workspace(int64_t bytes) { return empty({std::max<int64_t>(bytes, 1)}, u8, device()); }

template <typename Handle>
using Owned = std::shared_ptr<std::remove_pointer_t<Handle>>;

Owned<cublasLtMatrixLayout_t> matrix(cudaDataType_t type, int64_t rows, int64_t columns) {
  cublasLtMatrixLayout_t layout = nullptr;
  check(cublasLtMatrixLayoutCreate(&layout, type, static_cast<uint64_t>(rows), static_cast<uint64_t>(columns), rows), "cublaslt");
  return {layout, cublasLtMatrixLayoutDestroy};
}

// Images and filters as the library describes them.
struct Description {
  cudnnTensorDescriptor_t x = nullptr, y = nullptr;
  cudnnFilterDescriptor_t w = nullptr;
  cudnnConvolutionDescriptor_t conv = nullptr;

  Description(const Convolution& c, DType type) {
    auto i = [](int64_t v) { return static_cast<int>(v); };
    cudnnDataType_t t = type == bf16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT;
    check(cudnnCreateTensorDescriptor(&x), "cudnn");
    check(cudnnCreateTensorDescriptor(&y), "cudnn");
    check(cudnnCreateFilterDescriptor(&w), "cudnn");
    check(cudnnCreateConvolutionDescriptor(&conv), "cudnn");
    check(cudnnSetTensor4dDescriptor(x, CUDNN_TENSOR_NHWC, t, i(c.n), i(c.channels), i(c.side), i(c.side)), "cudnn");
    check(cudnnSetTensor4dDescriptor(y, CUDNN_TENSOR_NHWC, t, i(c.n), i(c.outputs), i(c.out_side()), i(c.out_side())), "cudnn");
    check(cudnnSetFilter4dDescriptor(w, t, CUDNN_TENSOR_NHWC, i(c.outputs), i(c.channels), i(c.kernel), i(c.kernel)), "cudnn");
    check(cudnnSetConvolution2dDescriptor(conv, i(c.padding), i(c.padding), i(c.stride), i(c.stride), 1, 1, CUDNN_CROSS_CORRELATION,
                                          CUDNN_DATA_FLOAT),
          "cudnn");
    check(cudnnSetConvolutionMathType(conv, type == bf16 ? CUDNN_TENSOR_OP_MATH : CUDNN_FMA_MATH), "cudnn");
  }
  ~Description() {
    cudnnDestroyTensorDescriptor(x);
    cudnnDestroyTensorDescriptor(y);
    cudnnDestroyFilterDescriptor(w);
    cudnnDestroyConvolutionDescriptor(conv);
  }
  Description(const Description&) = delete;
  Description& operator=(const Description&) = delete;
};

// The first algorithm that works, of those the library holds for best first.
template <typename Algorithm, typename Find>
Algorithm first(Find find) {
  std::array<Algorithm, 8> found;
  int count = 0;
  check(find(static_cast<int>(found.size()), &count, found.data()), "cudnn");
  for (int i = 0; i < count; ++i)
    if (found[static_cast<size_t>(i)].status == CUDNN_STATUS_SUCCESS) return found[static_cast<size_t>(i)];
  throw DeviceError("cudnn: there is no algorithm for this convolution");
}

}  // namespace

// Row-major c = a b is column-major cᵀ = bᵀ aᵀ.
std::function<void()> cublaslt_product(const Product& p, DType type) {
  Tensor a = normal({p.m, p.k}, type), b = normal({p.k, p.n}, type), c = normal({p.m, p.n}, type), work = workspace(kWorkspace);
  cudaDataType_t t = type == bf16 ? CUDA_R_16BF : CUDA_R_32F;
  cublasLtMatmulDesc_t described = nullptr;
  check(cublasLtMatmulDescCreate(&described, CUBLAS_COMPUTE_32F, CUDA_R_32F), "cublaslt");
  Owned<cublasLtMatmulDesc_t> operation(described, cublasLtMatmulDescDestroy);
  cublasOperation_t left = p.b_transposed ? CUBLAS_OP_T : CUBLAS_OP_N, right = p.a_transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
  check(cublasLtMatmulDescSetAttribute(described, CUBLASLT_MATMUL_DESC_TRANSA, &left, sizeof left), "cublaslt");
  check(cublasLtMatmulDescSetAttribute(described, CUBLASLT_MATMUL_DESC_TRANSB, &right, sizeof right), "cublaslt");
  auto first_matrix = p.b_transposed ? matrix(t, p.k, p.n) : matrix(t, p.n, p.k),
       second = p.a_transposed ? matrix(t, p.m, p.k) : matrix(t, p.k, p.m), out = matrix(t, p.n, p.m);
  cublasLtMatmulPreference_t preference = nullptr;
  check(cublasLtMatmulPreferenceCreate(&preference), "cublaslt");
  Owned<cublasLtMatmulPreference_t> owner(preference, cublasLtMatmulPreferenceDestroy);
  check(cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &kWorkspace, sizeof kWorkspace),
        "cublaslt");
  cublasLtMatmulHeuristicResult_t best;
  int count = 0;
  check(cublasLtMatmulAlgoGetHeuristic(cuda_backend::cublaslt(), described, first_matrix.get(), second.get(), out.get(), out.get(),
                                       preference, 1, &best, &count),
        "cublaslt");
  if (count == 0) throw DeviceError("cublaslt: there is no algorithm for this product");
  return [=]() mutable {
    check(cublasLtMatmul(cuda_backend::cublaslt(), operation.get(), &kOne, b.raw_data(), first_matrix.get(), a.raw_data(), second.get(),
                         &kZero, c.raw_data(), out.get(), c.raw_data(), out.get(), &best.algo, work.raw_data(),
                         static_cast<size_t>(kWorkspace), current_stream()),
          "cublaslt");
  };
}

std::function<void()> cudnn_convolution(const Convolution& c, Pass pass, DType type) {
  Tensor x = normal({c.n, c.side, c.side, c.channels}, type), w = normal({c.outputs, c.kernel, c.kernel, c.channels}, type),
         y = normal({c.n, c.out_side(), c.out_side(), c.outputs}, type);
  auto d = std::make_shared<Description>(c, type);
  cudnnHandle_t handle = cuda_backend::cudnn();
  if (pass == Pass::forward) {
    auto best = first<cudnnConvolutionFwdAlgoPerf_t>([&](int n, int* count, cudnnConvolutionFwdAlgoPerf_t* found) {
      return cudnnGetConvolutionForwardAlgorithm_v7(handle, d->x, d->w, d->conv, d->y, n, count, found);
    });
    Tensor work = workspace(static_cast<int64_t>(best.memory));
    return [=]() mutable {
      check(cudnnConvolutionForward(cuda_backend::cudnn(), &kOne, d->x, x.raw_data(), d->w, w.raw_data(), d->conv, best.algo,
                                    work.raw_data(), best.memory, &kZero, d->y, y.raw_data()),
            "cudnn");
    };
  }
  if (pass == Pass::input_gradient) {
    auto best = first<cudnnConvolutionBwdDataAlgoPerf_t>([&](int n, int* count, cudnnConvolutionBwdDataAlgoPerf_t* found) {
      return cudnnGetConvolutionBackwardDataAlgorithm_v7(handle, d->w, d->y, d->conv, d->x, n, count, found);
    });
    Tensor work = workspace(static_cast<int64_t>(best.memory));
    return [=]() mutable {
      check(cudnnConvolutionBackwardData(cuda_backend::cudnn(), &kOne, d->w, w.raw_data(), d->y, y.raw_data(), d->conv, best.algo,
                                         work.raw_data(), best.memory, &kZero, d->x, x.raw_data()),
            "cudnn");
    };
  }
  auto best = first<cudnnConvolutionBwdFilterAlgoPerf_t>([&](int n, int* count, cudnnConvolutionBwdFilterAlgoPerf_t* found) {
    return cudnnGetConvolutionBackwardFilterAlgorithm_v7(handle, d->x, d->y, d->conv, d->w, n, count, found);
  });
  Tensor work = workspace(static_cast<int64_t>(best.memory));
  return [=]() mutable {
    check(cudnnConvolutionBackwardFilter(cuda_backend::cudnn(), &kOne, d->x, x.raw_data(), d->y, y.raw_data(), d->conv, best.algo,
                                         work.raw_data(), best.memory, &kZero, d->w, w.raw_data()),
          "cudnn");
  };
}

}  // namespace plumb::bench::gpu

// Matrix products by cuBLASLt: kernel::matmul. A product of one shape is described and given an algorithm once; later calls look it up.
#include <cublasLt.h>

#include <algorithm>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "cuda/layout/product.h"
#include "cuda/layout/tuned_choices.h"
#include "cuda/libraries/library_handles.h"
#include "cuda/libraries/timing.h"
#include "cuda/runtime/device.h"
#include "cuda/runtime/graph.h"
#include "cuda/runtime/memory.h"
#include "cuda/runtime/stream.h"
#include "engine/core/data_kernels.h"
#include "engine/core/precision.h"
#include "ops/kernels/matmul.h"
#include "ops/kernels/pointwise.h"

namespace plumb::cuda_backend {

using namespace cuda_layout;

namespace {

// NVIDIA's advice for Hopper; split-K and stream-K algorithms need it for small m · n.
constexpr size_t kWorkspaceBytes = size_t{32} << 20;
constexpr int kCandidates = 8;

cudaDataType_t data_type(DType t) {
  switch (t) {
    case DType::f64: return CUDA_R_64F;
    case DType::f32: return CUDA_R_32F;
    case DType::bf16: return CUDA_R_16BF;
    case DType::f16: return CUDA_R_16F;
    default: unsupported_dtype("matmul", t);
  }
}
cublasComputeType_t compute_type(const ProductLayout& p) {
  return p.type == f64 ? CUBLAS_COMPUTE_64F : p.tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
}

// A matrix as it lies in memory, `batch` times.
struct Matrix {
  cublasLtMatrixLayout_t handle = nullptr;
  Matrix(DType type, int64_t rows, int64_t columns, int64_t stride, int64_t batch, int64_t batch_stride) {
    check(cublasLtMatrixLayoutCreate(&handle, data_type(type), static_cast<uint64_t>(rows), static_cast<uint64_t>(columns), stride),
          "matmul");
    int32_t count = static_cast<int32_t>(batch);
    check(cublasLtMatrixLayoutSetAttribute(handle, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count, sizeof count), "matmul");
    check(cublasLtMatrixLayoutSetAttribute(handle, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &batch_stride, sizeof batch_stride),
          "matmul");
  }
  ~Matrix() { cublasLtMatrixLayoutDestroy(handle); }
  Matrix(const Matrix&) = delete;
  Matrix& operator=(const Matrix&) = delete;
};

// The factor op(X) [rows, columns] in the form in which it is stored.
Matrix factor(const ProductLayout& p, int64_t rows, int64_t columns, const StoredMatrix& s, int64_t batch_stride) {
  return s.transposed ? Matrix(p.type, columns, rows, s.stride, p.batch, batch_stride)
                      : Matrix(p.type, rows, columns, s.stride, p.batch, batch_stride);
}

// The operands of one call.
struct Pointers {
  const void *first, *second, *bias;
  void *before, *out;
};

cublasLtEpilogue_t epilogue_of(const ProductLayout& p) {
  if (p.finish == Finish::gelu_backward) return CUBLASLT_EPILOGUE_DGELU;
  if (p.finish == Finish::plain) return p.bias ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT;
  if (p.before) return p.bias ? CUBLASLT_EPILOGUE_GELU_AUX_BIAS : CUBLASLT_EPILOGUE_GELU_AUX;
  return p.bias ? CUBLASLT_EPILOGUE_GELU_BIAS : CUBLASLT_EPILOGUE_GELU;
}

// The library's has no name, which containers' errors cannot tell.
struct Algorithm {
  cublasLtMatmulAlgo_t value{};
};

class Product {
 public:
  explicit Product(const ProductLayout& p)
      : layout_(p), first_(factor(p, p.n, p.k, p.first, p.first_batch)), second_(factor(p, p.k, p.m, p.second, p.second_batch)),
        out_(p.type, p.n, p.m, p.n, p.batch, p.n * p.m) {
    cudaDataType_t scale = p.type == f64 ? CUDA_R_64F : CUDA_R_32F;
    check(cublasLtMatmulDescCreate(&operation_, compute_type(p), scale), "matmul");
    set(CUBLASLT_MATMUL_DESC_TRANSA, p.first.transposed ? CUBLAS_OP_T : CUBLAS_OP_N);
    set(CUBLASLT_MATMUL_DESC_TRANSB, p.second.transposed ? CUBLAS_OP_T : CUBLAS_OP_N);
    set(CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue_of(p));
    if (p.bias) set(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, data_type(p.type));
    if (p.before) set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, p.n);
  }
  ~Product() { cublasLtMatmulDescDestroy(operation_); }
  Product(const Product&) = delete;
  Product& operator=(const Product&) = delete;

  /// Nothing is done, and false returned, if the library knows no algorithm.
  bool run(const Pointers& p) {
    if (layout_.bias) set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, p.bias);
    if (layout_.before) set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, p.before);
    if (!chosen_ && !none_) choose(p);
    if (none_) return false;
    launch(algorithm_.value, p, p.out);
    return true;
  }

 private:
  template <typename T>
  void set(cublasLtMatmulDescAttributes_t what, T value) {
    check(cublasLtMatmulDescSetAttribute(operation_, what, &value, sizeof value), "matmul");
  }
  std::vector<Algorithm> candidates() const;
  void choose(const Pointers& p);
  void launch(const cublasLtMatmulAlgo_t& algorithm, const Pointers& p, void* out) const;

  ProductLayout layout_;
  Matrix first_, second_, out_;
  cublasLtMatmulDesc_t operation_ = nullptr;
  Algorithm algorithm_;
  bool chosen_ = false, none_ = false;
};

void Product::launch(const cublasLtMatmulAlgo_t& algorithm, const Pointers& p, void* out) const {
  float alpha = 1, beta = layout_.accumulate ? 1 : 0;
  double alpha64 = 1, beta64 = beta;
  bool wide = layout_.type == f64;
  Scratch<std::byte> workspace(kWorkspaceBytes);
  check(cublasLtMatmul(cublaslt(), operation_, wide ? static_cast<const void*>(&alpha64) : &alpha, p.first, first_.handle, p.second,
                       second_.handle, wide ? static_cast<const void*>(&beta64) : &beta, out, out_.handle, out, out_.handle, &algorithm,
                       workspace.data(), kWorkspaceBytes, current_stream()),
        "matmul");
}

// What the library's heuristics hold for best, best first.
std::vector<Algorithm> Product::candidates() const {
  cublasLtMatmulPreference_t preference = nullptr;
  check(cublasLtMatmulPreferenceCreate(&preference), "matmul");
  std::unique_ptr<std::remove_pointer_t<cublasLtMatmulPreference_t>, decltype(&cublasLtMatmulPreferenceDestroy)> owner(
      preference, cublasLtMatmulPreferenceDestroy);
  auto prefer = [&](cublasLtMatmulPreferenceAttributes_t what, auto value) {
    check(cublasLtMatmulPreferenceSetAttribute(preference, what, &value, sizeof value), "matmul");
  };
  prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, uint64_t{kWorkspaceBytes});
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, static_cast<uint32_t>(layout_.first_alignment));
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, static_cast<uint32_t>(layout_.second_alignment));
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, static_cast<uint32_t>(layout_.out_alignment));
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, static_cast<uint32_t>(layout_.out_alignment));
  // Parts of a sum are joined before they are rounded to 16 bits.
  if (item_size(layout_.type) == 2)
    prefer(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, static_cast<uint32_t>(CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE));
  cublasLtMatmulHeuristicResult_t results[kCandidates];
  int count = 0;
  cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(cublaslt(), operation_, first_.handle, second_.handle, out_.handle, out_.handle,
                                                         preference, kCandidates, results, &count);
  if (status == CUBLAS_STATUS_NOT_SUPPORTED) return {};
  check(status, "matmul");
  std::vector<Algorithm> algorithms;
  for (int i = 0; i < count; ++i)
    if (results[i].state == CUBLAS_STATUS_SUCCESS) algorithms.push_back({results[i].algo});
  return algorithms;
}

// From the file of tuned choices; measured, if there is such a file and nothing is being captured; else the heuristics' first.
void Product::choose(const Pointers& p) {
  static_assert(sizeof(cublasLtMatmulAlgo_t) == sizeof(Choice));
  std::string key = library_key("cublaslt", cublasLtGetVersion()) + layout_.key();
  if (auto known = tuned_choices().find(key)) {
    std::copy(known->begin(), known->end(), algorithm_.value.data);
    chosen_ = true;
    return;
  }
  std::vector<Algorithm> algorithms = candidates();
  none_ = algorithms.empty();
  if (none_) return;
  algorithm_ = algorithms[0];
  chosen_ = true;
  if (!tuned_choices().tuning() || algorithms.size() == 1) return;
  if (is_capturing()) {
    chosen_ = false;  // to be measured in a later call
    return;
  }
  Scratch<std::byte> other_out(static_cast<size_t>(layout_.batch * layout_.m * layout_.n) *
                               item_size(layout_.type));  // with +out, out would change
  size_t best = fastest(algorithms.size(), [&](size_t i) { launch(algorithms[i].value, p, other_out.data()); });
  algorithm_ = algorithms[best];
  Choice choice;
  std::copy_n(algorithm_.value.data, choice.size(), choice.begin());
  tuned_choices().add(key, choice);
}

struct LayoutHash {
  size_t operator()(const ProductLayout& p) const { return p.hash(); }
};

// Every layout that was met, on the current device. Under one lock: a product's description names its bias. False if there is no algorithm.
bool multiply(const ProductLayout& layout, const Pointers& p) {
  static std::mutex mutex;
  static auto* products = new std::unordered_map<int, std::unordered_map<ProductLayout, std::unique_ptr<Product>, LayoutHash>>;
  std::lock_guard lock(mutex);
  std::unique_ptr<Product>& product = (*products)[current_device()][layout];
  if (!product) product = std::make_unique<Product>(layout);
  return product->run(p);
}

// The product with its finish, whatever the strides. False if the library has no algorithm for it.
bool finished(const Tensor& a, const Tensor& b, const Tensor& bias, bool accumulate, Finish finish, const Tensor& before, Tensor& out) {
  Tensor x = a, w = b;
  ProductPlan plan = plan_product(x, w, bias.defined(), accumulate, out, tf32_allowed());
  if (plan.copy_a) x = row_major_copy(a);
  if (plan.copy_b) w = row_major_copy(b);
  if (plan.copy_a || plan.copy_b) plan = plan_product(x, w, bias.defined(), accumulate, out, tf32_allowed());
  ProductLayout& p = plan.layout;
  p.finish = finish;
  p.before = before.defined();
  if (p.bias) p.bias_alignment = alignment_of(bias.raw_data());
  if (p.before) p.before_alignment = alignment_of(before.raw_data());
  return multiply(p,
                  {w.raw_data(), x.raw_data(), p.bias ? bias.raw_data() : nullptr, p.before ? before.raw_data() : nullptr, out.raw_data()});
}

// out ← bias in every row, or + bias.
void write_bias(const Tensor& bias, bool accumulate, Tensor& out) {
  Tensor rows = broadcast_view("matmul", bias, out.shape());
  (accumulate ? kernel::accumulate : kernel::copy)(out.device(), rows, out);
}

// 2 m n k operations; reads a and b and writes out once where the tiles' reuse allows: bound by arithmetic from some hundred rows on.
void matmul(const Tensor& a, const Tensor& b, const Tensor& bias, bool accumulate, Tensor& out) {
  if (out.numel() == 0) return;
  bool epilogue = bias.defined() && a.dtype() != f64 && a.shape()[2] > 0;  // the library adds no f64 bias
  if (bias.defined() && !epilogue) write_bias(bias, std::exchange(accumulate, true), out);
  if (a.shape()[2] == 0) {
    if (!accumulate) kernel::fill(out.device(), 0, out);
    return;
  }
  if (!finished(a, b, epilogue ? bias : Tensor(), accumulate, Finish::plain, {}, out))
    throw DeviceError("matmul: cuBLASLt knows no algorithm for " + to_string(a.shape()) + " · " + to_string(b.shape()) + " in " +
                      std::string(name(a.dtype())));
}

// The library demands that rows of what is before GELU begin at multiples of eight.
bool takes_gelu(const Tensor& a, const Tensor& out) {
  return a.dtype() != f64 && a.shape()[2] > 0 && out.numel() > 0 && out.shape()[0] == 1 && out.shape()[2] % 8 == 0;
}

void matmul_gelu(const Tensor& a, const Tensor& b, const Tensor& bias, Tensor& before, Tensor& out) {
  if (takes_gelu(a, out) && finished(a, b, bias, false, Finish::gelu, before, out)) return;
  Tensor z = before.defined() ? before : out;
  matmul(a, b, bias, false, z);
  kernel::unary(out.device(), UnaryOp::gelu_tanh, z, 0, 0, out);
}

void matmul_gelu_backward(const Tensor& a, const Tensor& b, const Tensor& before, Tensor& out) {
  if (takes_gelu(a, out) && finished(a, b, {}, false, Finish::gelu_backward, before, out)) return;
  matmul(a, b, {}, false, out);
  kernel::binary(out.device(), BinaryOp::gelu_tanh_backward, before, out, out);
}

}  // namespace

void register_cublaslt_matmul() {
  kernel::matmul.set(DeviceType::cuda, matmul);
  kernel::matmul_gelu.set(DeviceType::cuda, matmul_gelu);
  kernel::matmul_gelu_backward.set(DeviceType::cuda, matmul_gelu_backward);
}

}  // namespace plumb::cuda_backend

// Graphs of operations in cuDNN's backend interface, and the plans by which it runs one as a few kernels. It knows patterns of operations,
// such as attention's, and refuses others: a plan is tried, and where there is none the caller has another way.
#pragma once
#include <cudnn.h>

#include <array>
#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <vector>

namespace plumb::cuda_backend {

/// A descriptor of the library's. Throws DeviceError where the library refuses a value; the descriptor can be used once it is finished.
class CudnnDescriptor {
 public:
  explicit CudnnDescriptor(cudnnBackendDescriptorType_t type);
  ~CudnnDescriptor();
  CudnnDescriptor(CudnnDescriptor&& other) noexcept : handle_(other.handle_) { other.handle_ = nullptr; }
  CudnnDescriptor& operator=(CudnnDescriptor&&) = delete;

  void set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, const void* values, int64_t count = 1);
  void set(cudnnBackendAttributeName_t name, const CudnnDescriptor& value) { set(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, &value.handle_); }
  void finish();
  cudnnBackendDescriptor_t handle() const { return handle_; }

 private:
  cudnnBackendDescriptor_t handle_ = nullptr;
};

using FourSizes = std::array<int64_t, 4>;

/// A tensor of a graph.
struct CudnnTensor {
  int64_t id;
  FourSizes sizes;
  const CudnnDescriptor* descriptor;
};

/// Operations on tensors of four dimensions, in f32 unless another type is named. What is in between two operations is never stored.
class CudnnGraph {
 public:
  /// In memory, rows at multiples of 16 bytes; strides in elements. A run takes a pointer for each, in the order in which they were made.
  CudnnTensor memory(const FourSizes& sizes, const FourSizes& strides, cudnnDataType_t type);
  /// A number that is the same in every run.
  CudnnTensor number(float value);
  CudnnTensor number(int32_t value);
  /// In between, row-major, or with strides of its own.
  CudnnTensor between(const FourSizes& sizes, cudnnDataType_t type = CUDNN_DATA_FLOAT);
  CudnnTensor between(const FourSizes& sizes, const FourSizes& strides, cudnnDataType_t type);

  /// Each computes into its last tensor and returns it. matmul: one matrix product for each index of the first two dimensions.
  CudnnTensor matmul(const CudnnTensor& a, const CudnnTensor& b, const CudnnTensor& y);
  CudnnTensor reduce(cudnnReduceTensorOp_t how, const CudnnTensor& x, const CudnnTensor& y);
  /// The same memory with other sizes.
  CudnnTensor reshape(const CudnnTensor& x, const CudnnTensor& y);
  /// y = f(x) or f(x, b), b broadcast; `precision` is what it is computed in.
  CudnnTensor pointwise(cudnnPointwiseMode_t f, const CudnnTensor& x, const CudnnTensor& y, cudnnDataType_t precision = CUDNN_DATA_FLOAT);
  CudnnTensor pointwise(cudnnPointwiseMode_t f, const CudnnTensor& x, const CudnnTensor& b, const CudnnTensor& y,
                        cudnnDataType_t precision = CUDNN_DATA_FLOAT);
  /// y = x where `condition` holds, else b.
  CudnnTensor select(const CudnnTensor& condition, const CudnnTensor& x, const CudnnTensor& b, const CudnnTensor& y);
  /// The index of each of x's elements along `axis`, i32.
  CudnnTensor index(const CudnnTensor& x, int64_t axis);

 private:
  friend class CudnnPlan;
  CudnnTensor tensor(const FourSizes& sizes, const FourSizes& strides, cudnnDataType_t type, bool stored, const void* value = nullptr);
  CudnnDescriptor& add(cudnnBackendDescriptorType_t type) { return descriptors_.emplace_back(type); }
  CudnnDescriptor& pointwise_operation(cudnnPointwiseMode_t f, cudnnDataType_t precision, std::optional<int64_t> axis, const CudnnTensor& x,
                                       const CudnnTensor& y);
  void finish_operation(CudnnDescriptor& operation);

  struct Number {
    int64_t id;
    std::array<std::byte, 4> value;
  };
  std::deque<CudnnDescriptor> descriptors_;  // tensors and operations point to each other's
  std::deque<Number> numbers_;
  std::vector<int64_t> in_memory_;
  std::vector<cudnnBackendDescriptor_t> operations_;
  int64_t tensors_ = 0;
};

/// A way to run a graph on the device that it was made for, from any thread but one at a time.
class CudnnPlan {
 public:
  /// The first of the heuristics' choices that the library does not call nondeterministic, needs at most `workspace_limit` bytes, and can
  /// be made; which depends on the graph, the device's kind and the library's version alone. Compiles kernels: takes from ten milliseconds
  /// to seconds. Throws DeviceError if there is none.
  CudnnPlan(CudnnGraph graph, size_t workspace_limit);

  /// Starts it on the current stream.
  void run(std::span<const void* const> memory) const;

 private:
  bool make(const CudnnDescriptor& configuration, size_t workspace_limit);

  CudnnGraph graph_;
  CudnnDescriptor operations_;
  std::optional<CudnnDescriptor> configuration_, plan_;
  int64_t workspace_ = 0;
};

}  // namespace plumb::cuda_backend

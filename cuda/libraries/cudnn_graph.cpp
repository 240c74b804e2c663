// Building graphs in cuDNN's backend interface, and choosing how they run.
#include "cuda/libraries/cudnn_graph.h"

#include <algorithm>
#include <cstring>

#include "cuda/libraries/library_handles.h"
#include "cuda/runtime/memory.h"
#include "engine/core/error.h"

namespace plumb::cuda_backend {
namespace {

constexpr const char* kGraph = "cuDNN graph";
constexpr int64_t kChoices = 8;  // of the heuristics' that are looked at

FourSizes row_major(const FourSizes& n) { return {n[1] * n[2] * n[3], n[2] * n[3], n[3], 1}; }

/// What `from` holds under `name`: at most `most` descriptors.
std::vector<CudnnDescriptor> descriptors_in(const CudnnDescriptor& from, cudnnBackendAttributeName_t name,
                                            cudnnBackendDescriptorType_t type, int64_t most) {
  std::vector<CudnnDescriptor> found;
  std::vector<cudnnBackendDescriptor_t> handles;
  for (int64_t i = 0; i < most; ++i) handles.push_back(found.emplace_back(type).handle());
  int64_t count = 0;
  check(cudnnBackendGetAttribute(from.handle(), name, CUDNN_TYPE_BACKEND_DESCRIPTOR, most, &count, handles.data()), kGraph);
  while (static_cast<int64_t>(found.size()) > count) found.pop_back();
  return found;
}

bool deterministic(const CudnnDescriptor& configuration) {
  std::vector<CudnnDescriptor> engine = descriptors_in(configuration, CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_BACKEND_ENGINE_DESCRIPTOR, 1);
  if (engine.empty()) return false;
  std::array<cudnnBackendNumericalNote_t, CUDNN_NUMERICAL_NOTE_TYPE_COUNT> notes;
  int64_t count = 0;
  check(cudnnBackendGetAttribute(engine[0].handle(), CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE,
                                 static_cast<int64_t>(notes.size()), &count, notes.data()),
        kGraph);
  return std::find(notes.begin(), notes.begin() + count, CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC) == notes.begin() + count;
}

std::vector<CudnnDescriptor> heuristic_choices(const CudnnDescriptor& operations) {
  CudnnDescriptor heuristics(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
  cudnnBackendHeurMode_t mode = CUDNN_HEUR_MODE_A;
  heuristics.set(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, operations);
  heuristics.set(CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, &mode);
  heuristics.finish();
  return descriptors_in(heuristics, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, kChoices);
}

}  // namespace

CudnnDescriptor::CudnnDescriptor(cudnnBackendDescriptorType_t type) { check(cudnnBackendCreateDescriptor(type, &handle_), kGraph); }
CudnnDescriptor::~CudnnDescriptor() {
  if (handle_) cudnnBackendDestroyDescriptor(handle_);
}
void CudnnDescriptor::set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, const void* values, int64_t count) {
  check(cudnnBackendSetAttribute(handle_, name, type, count, values), kGraph);
}
void CudnnDescriptor::finish() { check(cudnnBackendFinalize(handle_), kGraph); }

CudnnTensor CudnnGraph::tensor(const FourSizes& sizes, const FourSizes& strides, cudnnDataType_t type, bool stored, const void* value) {
  const int64_t id = ++tensors_, alignment = 16;
  const bool is_virtual = !stored, by_value = value != nullptr;
  CudnnDescriptor& d = add(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  d.set(CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, &id);
  d.set(CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, &type);
  d.set(CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, sizes.data(), 4);
  d.set(CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, strides.data(), 4);
  d.set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, &alignment);
  d.set(CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, &is_virtual);
  d.set(CUDNN_ATTR_TENSOR_IS_BY_VALUE, CUDNN_TYPE_BOOLEAN, &by_value);
  d.finish();
  if (by_value) std::memcpy(numbers_.emplace_back(Number{id, {}}).value.data(), value, 4);
  return {id, sizes, &d};
}

CudnnTensor CudnnGraph::memory(const FourSizes& sizes, const FourSizes& strides, cudnnDataType_t type) {
  CudnnTensor x = tensor(sizes, strides, type, true);
  in_memory_.push_back(x.id);
  return x;
}
CudnnTensor CudnnGraph::number(float value) { return tensor({1, 1, 1, 1}, {1, 1, 1, 1}, CUDNN_DATA_FLOAT, true, &value); }
CudnnTensor CudnnGraph::number(int32_t value) { return tensor({1, 1, 1, 1}, {1, 1, 1, 1}, CUDNN_DATA_INT32, true, &value); }
CudnnTensor CudnnGraph::between(const FourSizes& sizes, cudnnDataType_t type) { return tensor(sizes, row_major(sizes), type, false); }
CudnnTensor CudnnGraph::between(const FourSizes& sizes, const FourSizes& strides, cudnnDataType_t type) {
  return tensor(sizes, strides, type, false);
}

void CudnnGraph::finish_operation(CudnnDescriptor& operation) {
  operation.finish();
  operations_.push_back(operation.handle());
}

CudnnTensor CudnnGraph::matmul(const CudnnTensor& a, const CudnnTensor& b, const CudnnTensor& y) {
  const cudnnDataType_t precision = CUDNN_DATA_FLOAT;
  CudnnDescriptor& how = add(CUDNN_BACKEND_MATMUL_DESCRIPTOR);
  how.set(CUDNN_ATTR_MATMUL_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, &precision);
  how.finish();
  CudnnDescriptor& operation = add(CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR);
  operation.set(CUDNN_ATTR_OPERATION_MATMUL_ADESC, *a.descriptor);
  operation.set(CUDNN_ATTR_OPERATION_MATMUL_BDESC, *b.descriptor);
  operation.set(CUDNN_ATTR_OPERATION_MATMUL_CDESC, *y.descriptor);
  operation.set(CUDNN_ATTR_OPERATION_MATMUL_DESC, how);
  finish_operation(operation);
  return y;
}

CudnnTensor CudnnGraph::reduce(cudnnReduceTensorOp_t how_to, const CudnnTensor& x, const CudnnTensor& y) {
  const cudnnDataType_t precision = CUDNN_DATA_FLOAT;
  CudnnDescriptor& how = add(CUDNN_BACKEND_REDUCTION_DESCRIPTOR);
  how.set(CUDNN_ATTR_REDUCTION_OPERATOR, CUDNN_TYPE_REDUCTION_OPERATOR_TYPE, &how_to);
  how.set(CUDNN_ATTR_REDUCTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, &precision);
  how.finish();
  CudnnDescriptor& operation = add(CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR);
  operation.set(CUDNN_ATTR_OPERATION_REDUCTION_XDESC, *x.descriptor);
  operation.set(CUDNN_ATTR_OPERATION_REDUCTION_YDESC, *y.descriptor);
  operation.set(CUDNN_ATTR_OPERATION_REDUCTION_DESC, how);
  finish_operation(operation);
  return y;
}

CudnnTensor CudnnGraph::reshape(const CudnnTensor& x, const CudnnTensor& y) {
  CudnnDescriptor& operation = add(CUDNN_BACKEND_OPERATION_RESHAPE_DESCRIPTOR);
  operation.set(CUDNN_ATTR_OPERATION_RESHAPE_XDESC, *x.descriptor);
  operation.set(CUDNN_ATTR_OPERATION_RESHAPE_YDESC, *y.descriptor);
  finish_operation(operation);
  return y;
}

CudnnDescriptor& CudnnGraph::pointwise_operation(cudnnPointwiseMode_t f, cudnnDataType_t precision, std::optional<int64_t> axis,
                                                 const CudnnTensor& x, const CudnnTensor& y) {
  CudnnDescriptor& how = add(CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
  how.set(CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, &f);
  how.set(CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, &precision);
  if (axis) how.set(CUDNN_ATTR_POINTWISE_AXIS, CUDNN_TYPE_INT64, &*axis);
  how.finish();
  CudnnDescriptor& operation = add(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
  operation.set(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, how);
  operation.set(CUDNN_ATTR_OPERATION_POINTWISE_XDESC, *x.descriptor);
  operation.set(CUDNN_ATTR_OPERATION_POINTWISE_YDESC, *y.descriptor);
  return operation;
}

CudnnTensor CudnnGraph::pointwise(cudnnPointwiseMode_t f, const CudnnTensor& x, const CudnnTensor& y, cudnnDataType_t precision) {
  finish_operation(pointwise_operation(f, precision, std::nullopt, x, y));
  return y;
}

CudnnTensor CudnnGraph::pointwise(cudnnPointwiseMode_t f, const CudnnTensor& x, const CudnnTensor& b, const CudnnTensor& y,
                                  cudnnDataType_t precision) {
  CudnnDescriptor& operation = pointwise_operation(f, precision, std::nullopt, x, y);
  operation.set(CUDNN_ATTR_OPERATION_POINTWISE_BDESC, *b.descriptor);
  finish_operation(operation);
  return y;
}

CudnnTensor CudnnGraph::select(const CudnnTensor& condition, const CudnnTensor& x, const CudnnTensor& b, const CudnnTensor& y) {
  CudnnDescriptor& operation = pointwise_operation(CUDNN_POINTWISE_BINARY_SELECT, CUDNN_DATA_FLOAT, std::nullopt, x, y);
  operation.set(CUDNN_ATTR_OPERATION_POINTWISE_BDESC, *b.descriptor);
  operation.set(CUDNN_ATTR_OPERATION_POINTWISE_TDESC, *condition.descriptor);
  finish_operation(operation);
  return y;
}

CudnnTensor CudnnGraph::index(const CudnnTensor& x, int64_t axis) {
  CudnnTensor y = between(x.sizes, CUDNN_DATA_INT32);
  finish_operation(pointwise_operation(CUDNN_POINTWISE_GEN_INDEX, CUDNN_DATA_FLOAT, axis, x, y));
  return y;
}

CudnnPlan::CudnnPlan(CudnnGraph graph, size_t workspace_limit)
    : graph_(std::move(graph)), operations_(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR) {
  cudnnHandle_t handle = cudnn();
  operations_.set(CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, &handle);
  operations_.set(CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, graph_.operations_.data(),
                  static_cast<int64_t>(graph_.operations_.size()));
  operations_.finish();
  for (CudnnDescriptor& choice : heuristic_choices(operations_))
    if (deterministic(choice) && make(choice, workspace_limit)) {
      configuration_.emplace(std::move(choice));
      return;
    }
  throw DeviceError("cuDNN graph: the library has no deterministic plan for it");
}

bool CudnnPlan::make(const CudnnDescriptor& configuration, size_t workspace_limit) {
  cudnnHandle_t handle = cudnn();
  int64_t count = 0;
  plan_.emplace(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
  plan_->set(CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, &handle);
  plan_->set(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, configuration);
  if (cudnnBackendFinalize(plan_->handle()) != CUDNN_STATUS_SUCCESS) return false;
  check(cudnnBackendGetAttribute(plan_->handle(), CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, &count, &workspace_),
        kGraph);
  return static_cast<size_t>(workspace_) <= workspace_limit;
}

void CudnnPlan::run(std::span<const void* const> memory) const {
  std::vector<int64_t> ids = graph_.in_memory_;
  std::vector<const void*> pointers(memory.begin(), memory.end());
  for (const CudnnGraph::Number& n : graph_.numbers_) ids.push_back(n.id), pointers.push_back(n.value.data());
  Scratch<std::byte> workspace(workspace_, kGraph);
  void* room = workspace.data();
  CudnnDescriptor pack(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
  pack.set(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, ids.data(), static_cast<int64_t>(ids.size()));
  pack.set(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, pointers.data(), static_cast<int64_t>(pointers.size()));
  pack.set(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, &room);
  pack.finish();
  check(cudnnBackendExecute(cudnn(), plan_->handle(), pack.handle()), kGraph);
}

}  // namespace plumb::cuda_backend

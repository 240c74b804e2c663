// Making and keeping the libraries' handles.
#include "cuda/libraries/library_handles.h"

#include <vector>

#include "cuda/runtime/device.h"
#include "cuda/runtime/stream.h"
#include "engine/core/error.h"

namespace plumb::cuda_backend {
namespace {

void fail_unless(bool success, const char* op, const char* library, const char* problem) {
  if (!success) throw DeviceError(std::string(op) + ": " + library + ": " + problem);
}

// The current device's handle of the calling thread. Never destroyed: at the end of the program the driver may be gone already.
template <typename Handle, typename Make>
Handle handle_of_device(Make&& make) {
  static thread_local std::vector<Handle> handles;
  auto device = static_cast<size_t>(current_device());
  if (handles.size() <= device) handles.resize(device + 1);
  if (!handles[device]) make(&handles[device]);
  return handles[device];
}

}  // namespace

void check(cublasStatus_t status, const char* op) {
  fail_unless(status == CUBLAS_STATUS_SUCCESS, op, "cuBLAS", cublasLtGetStatusString(status));
}
void check(cudnnStatus_t status, const char* op) { fail_unless(status == CUDNN_STATUS_SUCCESS, op, "cuDNN", cudnnGetErrorString(status)); }
void check(cusolverStatus_t status, const char* op) {
  fail_unless(status == CUSOLVER_STATUS_SUCCESS, op, "cuSOLVER", ("status " + std::to_string(static_cast<int>(status))).c_str());
}

cublasLtHandle_t cublaslt() {
  return handle_of_device<cublasLtHandle_t>([](cublasLtHandle_t* made) { check(cublasLtCreate(made), "matmul"); });
}
cudnnHandle_t cudnn() {
  cudnnHandle_t handle = handle_of_device<cudnnHandle_t>([](cudnnHandle_t* made) { check(cudnnCreate(made), "conv"); });
  check(cudnnSetStream(handle, current_stream()), "conv");
  return handle;
}
cublasHandle_t cublas() {
  cublasHandle_t handle = handle_of_device<cublasHandle_t>([](cublasHandle_t* made) { check(cublasCreate(made), "linalg"); });
  check(cublasSetStream(handle, current_stream()), "linalg");
  return handle;
}
cusolverDnHandle_t cusolver() {
  cusolverDnHandle_t handle =
      handle_of_device<cusolverDnHandle_t>([](cusolverDnHandle_t* made) { check(cusolverDnCreate(made), "linalg"); });
  check(cusolverDnSetStream(handle, current_stream()), "linalg");
  return handle;
}

std::string library_key(const char* library, size_t version) {
  return std::string(library) + " " + std::to_string(version) + " " + current_properties().name + ": ";
}

}  // namespace plumb::cuda_backend

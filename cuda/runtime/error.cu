// Errors of the CUDA runtime as Plumb's own.
#include "cuda/runtime/error.h"

#include <string>

#include "engine/core/error.h"

namespace plumb::cuda_backend {

void check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) [[likely]] return;
  std::string text = std::string(what) + ": cuda: " + cudaGetErrorString(status) + " (" + cudaGetErrorName(status) + ")";
  bool of_a_kernel = status == cudaErrorIllegalAddress || status == cudaErrorLaunchFailure || status == cudaErrorMisalignedAddress;
  if (of_a_kernel) text += "; an earlier kernel caused it: run with CUDA_LAUNCH_BLOCKING=1 or under compute-sanitizer to see which";
  throw DeviceError(text);
}

}  // namespace plumb::cuda_backend

// Errors of the CUDA runtime as Plumb's own.
#pragma once
#include <cuda_runtime.h>

namespace plumb::cuda_backend {

/// Throws DeviceError "`what`: cuda: <the runtime's message> (<its name>)" unless `status` is success. What a kernel did wrong shows at a
/// later call: the message then says so.
void check(cudaError_t status, const char* what);

}  // namespace plumb::cuda_backend

// Handles of NVIDIA's libraries, one a device and thread, and their errors as exceptions.
#pragma once
#include <cublasLt.h>
#include <cublas_v2.h>
#include <cudnn.h>
#include <cusolverDn.h>

#include <string>

namespace plumb::cuda_backend {

/// Throw DeviceError `op: library: what went wrong` unless the call succeeded.
void check(cublasStatus_t status, const char* op);
void check(cudnnStatus_t status, const char* op);
void check(cusolverStatus_t status, const char* op);

/// The calling thread's handle for the current device, made on first use and kept: making one takes milliseconds. All but cuBLASLt's
/// are set to the current stream. Throw DeviceError if the library cannot be started.
cublasLtHandle_t cublaslt();
cublasHandle_t cublas();
cudnnHandle_t cudnn();
cusolverDnHandle_t cusolver();

/// "cublaslt 130001 NVIDIA H100 80GB HBM3: ": what a tuned choice of the library holds for.
std::string library_key(const char* library, size_t version);

}  // namespace plumb::cuda_backend

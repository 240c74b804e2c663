// Fills the slots that the vendor's libraries compute: matrix products, convolutions, attention, linear algebra, Fourier transforms. On the
// simulated device of the tests, which has no such libraries, the CPU's kernels stand in (tests/cuda/simulated/stand_ins.cpp).
#include "engine/core/kernel.h"

namespace plumb::cuda_backend {

void register_cublaslt_matmul();
void register_cudnn_attention();
void register_cudnn_conv();
void register_cufft_fft();
void register_cusolver_linalg();
void register_nccl_communicator();

void register_libraries() {
  register_cublaslt_matmul();
  register_cudnn_attention();
  register_cudnn_conv();
  register_cufft_fft();
  register_cusolver_linalg();
#if defined(PLUMB_WITH_NCCL)
  register_nccl_communicator();
#endif
}

}  // namespace plumb::cuda_backend

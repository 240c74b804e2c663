// Fills the kernel tables of the CPU. Each kernel file defines one register_<file>(), which puts its kernels into their slots;
// a new file adds its declaration and its call here, and no other file is rebuilt for it.
#include "engine/core/kernel.h"

namespace plumb {
namespace cpu_kernels {

void register_copy();
void register_pointwise_unary();
void register_pointwise_binary();
void register_reduce();
void register_create();
void register_extremum();
void register_index();
void register_scan();
void register_sort();
void register_matmul();
void register_grouped_matmul();
void register_grouped_rows();
void register_norm();
void register_group_norm();
void register_batch_norm();
void register_softmax();
void register_embedding();
void register_embedding_bag();
void register_cross_entropy();
void register_check_values();
void register_attention();
void register_dropout();
void register_optim();
void register_linalg();
void register_quantize();
void register_random();
void register_random_choice();
void register_recurrent();
void register_conv();
void register_resample();
void register_fft();
void register_distributions();
void register_incomplete_gamma();
void register_minifloat();
void register_complex();

}  // namespace cpu_kernels

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
  cpu_kernels::register_grouped_matmul();
  cpu_kernels::register_grouped_rows();
  cpu_kernels::register_norm();
  cpu_kernels::register_group_norm();
  cpu_kernels::register_batch_norm();
  cpu_kernels::register_softmax();
  cpu_kernels::register_embedding();
  cpu_kernels::register_embedding_bag();
  cpu_kernels::register_cross_entropy();
  cpu_kernels::register_check_values();
  cpu_kernels::register_attention();
  cpu_kernels::register_dropout();
  cpu_kernels::register_optim();
  cpu_kernels::register_linalg();
  cpu_kernels::register_quantize();
  cpu_kernels::register_random();
  cpu_kernels::register_random_choice();
  cpu_kernels::register_recurrent();
  cpu_kernels::register_conv();
  cpu_kernels::register_resample();
  cpu_kernels::register_fft();
  cpu_kernels::register_distributions();
  cpu_kernels::register_incomplete_gamma();
  cpu_kernels::register_minifloat();
  cpu_kernels::register_complex();
}

}  // namespace plumb

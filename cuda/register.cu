// Fills the kernel tables of the GPU. Each kernel file defines one register_<file>(), which puts its kernels into their slots; a new file
// adds its declaration and its call here, and no other file is rebuilt for it.
#include "engine/core/kernel.h"

namespace plumb {
namespace cuda_backend {

void register_runtime();
void register_libraries();
void register_copy();
void register_create();
void register_pointwise_unary();
void register_pointwise_binary();
void register_complex();
void register_reduce();
void register_reduce_shifted();
void register_extremum();
void register_scan();
void register_sort();
void register_index();
void register_softmax();
void register_cross_entropy();
void register_check_values();
void register_norm();
void register_group_norm();
void register_group_norm_last();
void register_batch_norm();
void register_embedding();
void register_embedding_bag();
void register_dropout();
void register_random();
void register_random_choice();
void register_distributions();
void register_optim();
void register_quantize();
void register_minifloat();
void register_incomplete_gamma();
void register_attention();
void register_conv();
void register_grouped_matmul();
void register_grouped_rows();
void register_grouped_sum();
void register_recurrent();
void register_resample();
void register_rotary();
void register_hopper();

}  // namespace cuda_backend

void register_cuda() {
  cuda_backend::register_runtime();
  cuda_backend::register_attention();  // a library takes these slots, and leaves to these what it cannot compute or what is too little
  cuda_backend::register_conv();       // and these, and leaves groups of few channels
  cuda_backend::register_libraries();  // first: own kernels take a slot from a library where both have one
  cuda_backend::register_copy();
  cuda_backend::register_create();
  cuda_backend::register_pointwise_unary();
  cuda_backend::register_pointwise_binary();
  cuda_backend::register_complex();
  cuda_backend::register_reduce();
  cuda_backend::register_reduce_shifted();
  cuda_backend::register_extremum();
  cuda_backend::register_scan();
  cuda_backend::register_sort();
  cuda_backend::register_index();
  cuda_backend::register_softmax();
  cuda_backend::register_cross_entropy();
  cuda_backend::register_check_values();
  cuda_backend::register_norm();
  cuda_backend::register_group_norm();
  cuda_backend::register_group_norm_last();
  cuda_backend::register_batch_norm();
  cuda_backend::register_embedding();
  cuda_backend::register_embedding_bag();
  cuda_backend::register_dropout();
  cuda_backend::register_random();
  cuda_backend::register_random_choice();
  cuda_backend::register_distributions();
  cuda_backend::register_optim();
  cuda_backend::register_quantize();
  cuda_backend::register_minifloat();
  cuda_backend::register_incomplete_gamma();
  cuda_backend::register_grouped_matmul();
  cuda_backend::register_grouped_rows();
  cuda_backend::register_grouped_sum();
  cuda_backend::register_recurrent();
  cuda_backend::register_resample();
  cuda_backend::register_rotary();
#ifdef PLUMB_HOPPER
  cuda_backend::register_hopper();  // last: these take over slots of kernels for any GPU, and fall back on them
#endif
}

}  // namespace plumb

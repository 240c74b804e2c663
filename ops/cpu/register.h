// One function a kernel file: it puts the file's kernels into their slots. register.cpp calls them all.
#pragma once

namespace plumb::cpu_kernels {

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
void register_norm();
void register_group_norm();
void register_batch_norm();
void register_softmax();
void register_embedding();
void register_embedding_bag();
void register_cross_entropy();
void register_attention();
void register_dropout();
void register_optim();
void register_linalg();
void register_random();
void register_random_choice();
void register_conv();
void register_resample();

}  // namespace plumb::cpu_kernels

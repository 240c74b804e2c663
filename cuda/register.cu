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

}  // namespace cuda_backend

void register_cuda() {
  cuda_backend::register_runtime();
  cuda_backend::register_libraries();  // first: own kernels take a slot from a library where both have one
  cuda_backend::register_copy();
  cuda_backend::register_create();
  cuda_backend::register_pointwise_unary();
  cuda_backend::register_pointwise_binary();
  cuda_backend::register_complex();
}

}  // namespace plumb

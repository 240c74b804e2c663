// The few kernels that readers call, so that the fuzzer's program need not be built with all of them.
#include "engine/core/kernel.h"

namespace plumb {
namespace cpu_kernels {

void register_copy();
void register_create();

}  // namespace cpu_kernels

void register_cpu() {
  cpu_kernels::register_copy();
  cpu_kernels::register_create();
}

}  // namespace plumb

// Fills the kernel tables of the CPU.
#include "ops/cpu/register.h"

#include "engine/core/kernel.h"

namespace plumb {

void register_cpu() {
  cpu::register_copy();
  cpu::register_pointwise_unary();
  cpu::register_pointwise_binary();
  cpu::register_reduce();
  cpu::register_matmul();
}

}  // namespace plumb

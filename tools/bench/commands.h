// The commands under `plumb bench`.
#pragma once
#include "tools/commands.h"

namespace plumb::tools {

extern const Command bench_steps_command, bench_overhead_command, bench_memory_command, bench_worker_command;

}  // namespace plumb::tools

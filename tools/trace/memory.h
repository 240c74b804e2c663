// The memory of a traced step by tensor.
#pragma once
#include <string>
#include <utility>
#include <vector>

#include "tools/trace/recorder.h"

namespace plumb::tools {

/// "parameter up.weight", or who asked for it and its shape: "linear [8, 256, 384]".
std::string label(const Block& block);
/// What the block is counted with: "parameters", "gradients", "optimizer state", or its label.
std::string group(const Block& block);

/// A block that comes or goes. Blocks from before the recording come at 0.
struct MemoryChange {
  int64_t time = 0;
  const Block* block = nullptr;
  int64_t bytes = 0;  ///< below 0: freed
};
/// All within the recording, in order of time; what goes comes before what comes at the same time.
std::vector<MemoryChange> memory_changes(const Trace& trace);

struct MemoryPeak {
  int64_t bytes = 0, time = 0;                          ///< the largest sum of live blocks, and when it was first reached
  std::vector<std::pair<std::string, int64_t>> groups;  ///< what it consists of, largest first
};
MemoryPeak memory_peak(const Trace& trace);

}  // namespace plumb::tools

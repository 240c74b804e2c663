// Blocks over time.
#include "tools/trace/memory.h"

#include <algorithm>
#include <map>
#include <tuple>

namespace plumb::tools {

std::string label(const Block& block) { return block.name.empty() ? block.operation + " " + block.what : block.name; }

std::string group(const Block& block) {
  if (block.name.starts_with("parameter ")) return "parameters";
  if (block.name.starts_with("gradient of ")) return "gradients";
  return label(block);
}

std::vector<MemoryChange> memory_changes(const Trace& trace) {
  std::vector<MemoryChange> changes;
  for (const Block& block : trace.blocks) {
    changes.push_back({std::max<int64_t>(0, block.allocated), &block, block.bytes});
    if (block.freed <= trace.end) changes.push_back({block.freed, &block, -block.bytes});
  }
  std::ranges::stable_sort(changes, {}, [](const MemoryChange& c) { return std::tuple(c.time, c.time > 0 && c.bytes > 0); });
  return changes;
}

MemoryPeak memory_peak(const Trace& trace) {
  MemoryPeak peak;
  int64_t live = 0;
  for (const MemoryChange& change : memory_changes(trace)) {
    live += change.bytes;
    if (live > peak.bytes) peak.bytes = live, peak.time = change.time;
  }
  std::map<std::string, int64_t> groups;
  for (const Block& block : trace.blocks)
    if (std::max<int64_t>(0, block.allocated) <= peak.time && block.freed > peak.time) groups[group(block)] += block.bytes;
  peak.groups.assign(groups.begin(), groups.end());
  std::ranges::stable_sort(peak.groups, std::greater{}, [](const auto& entry) { return entry.second; });
  return peak;
}

}  // namespace plumb::tools

// A trace as the JSON that chrome://tracing, Perfetto and Speedscope show.
#pragma once
#include <string>

#include "tools/trace/recorder.h"

namespace plumb::tools {

/// Writes the file, or leaves none. Its events, with times in microseconds:
///   "X"      a span; "cat": step, phase, operation, derivative or kernel. A kernel's "args": op, tensors, bytes, flops, gb_per_s,
///   gflop_per_s "C"      counters of live bytes: "memory" of all tensors, "memory: …" of those tensors that are ever a hundredth of the
///   peak or more "b", "e" the life of each tensor, by "id"; its "args": bytes
/// `about` is a line on what was traced. Throws IoError if it cannot be written.
void write_chrome_trace(const std::string& path, const Trace& trace, const std::string& about);

}  // namespace plumb::tools

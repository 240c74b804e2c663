// How the cost of a step grows.
#pragma once
#include <string>
#include <vector>

#include "engine/io/json_object.h"

namespace plumb::tools {

/// What grows: "length" of the sequences, "width" of the model, "batch" or "experts" (each token meets two, however many there are).
std::vector<std::string> scaling_axes();

/// Forward and backward passes of small transformers that differ along the axis, by turns for so many rounds, in this process: their times,
/// the exponent p of time ∝ size^p with its 95 % interval over rounds, and that of the operations of their products (`scale.h`).
/// Throws ConfigError for an unknown axis.
JsonObject scaling_row(const std::string& axis, int64_t rounds);

/// Steps of `work` with one thread and with all, by turns, a process each.
std::vector<JsonObject> thread_rows(const std::string& work, int64_t rounds, int64_t steps, const std::string& size);

}  // namespace plumb::tools

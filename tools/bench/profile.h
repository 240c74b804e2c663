// Where the time of a training step goes, as rows.
#pragma once
#include <string>
#include <vector>

#include "engine/io/json_object.h"
#include "tools/trace/traced_step.h"

namespace plumb::tools {

/// A row a kernel, most time first, and a last one for the whole step: milliseconds a step, and the share of the step's time that the
/// kernels account for.
std::vector<JsonObject> profile_rows(const TraceSettings& settings);

}  // namespace plumb::tools

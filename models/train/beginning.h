// Whether a run can begin at a path.
#pragma once
#include <string>

namespace plumb::train {

/// There is nothing at `path`, or only what a run left that was killed before it had its config.json.
bool may_begin_at(const std::string& path);

}  // namespace plumb::train

// The page of a benchmark.
#pragma once
#include <string>
#include <vector>

#include "engine/io/json_object.h"

namespace plumb::tools {

/// One HTML file without scripts or anything loaded from elsewhere: the environment, bars and tables of steps, overhead and memory beside
/// peers, the roofline and the kernels' shares of it, scaling, profiles; what the rows (report.h) do not have is left out.
std::string bench_page(const std::vector<JsonObject>& rows);
/// Rows that --json printed, one a line. `path` names the file in errors. Throws ConfigError, with the line's number, for a line that is no
/// row.
std::vector<JsonObject> parse_rows(const std::string& lines, const std::string& path);

}  // namespace plumb::tools

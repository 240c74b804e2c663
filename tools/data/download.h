// One file over HTTP, onto the disk, whole or to be continued.
#pragma once
#include <cstdint>
#include <functional>
#include <string>

namespace plumb::tools {

/// Called now and then with the bytes there and the bytes expected (0: unknown).
using Progress = std::function<void(int64_t received, int64_t total)>;

/// Writes what `url` serves to the file `part`. If `part` holds the beginning already, asks for the rest only, and starts over where the
/// server cannot do that. A connection that breaks is taken up again as long as each attempt brings something.
/// Throws IoError naming the address if it cannot be downloaded (what has come so far stays in `part`), or `part` if it cannot be written.
void download(const std::string& url, const std::string& part, const Progress& progress = {});

}  // namespace plumb::tools

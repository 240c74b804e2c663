// How this program was compiled.
#pragma once
#include <string>

namespace plumb::tools {

/// "Release, GCC 12.2.0, for x86-64-v3"; says so if sanitizers slow it down.
std::string build_description();

}  // namespace plumb::tools

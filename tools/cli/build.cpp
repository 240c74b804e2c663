// The build's settings, as CMake passes them to this file alone.
#include "tools/cli/build.h"

#include <fmt/format.h>

namespace plumb::tools {

std::string build_description() {
#if defined(__clang__)
  std::string compiler = fmt::format("Clang {}.{}.{}", __clang_major__, __clang_minor__, __clang_patchlevel__);
#else
  std::string compiler = fmt::format("GCC {}.{}.{}", __GNUC__, __GNUC_MINOR__, __GNUC_PATCHLEVEL__);
#endif
  std::string text = fmt::format("{}, {}", PLUMB_BUILD_TYPE, compiler);
  if (*PLUMB_BUILD_ARCH) text += fmt::format(", for {}", PLUMB_BUILD_ARCH);
  if (*PLUMB_BUILD_SANITIZE) text += fmt::format(", under sanitizers ({}): slow", PLUMB_BUILD_SANITIZE);
  return text;
}

}  // namespace plumb::tools

// From the words of --winograd to the engine's two settings.
#include "tools/cli/winograd_option.h"

#include "engine/core/error.h"
#include "engine/core/precision.h"

namespace plumb::tools {

void check_winograd(const std::string& name) {
  if (name != "off" && name != "2x2" && name != "4x4") throw ConfigError("--winograd " + name + " is unknown; choose off, 2x2 or 4x4");
}

void set_winograd(const std::string& name) {
  check_winograd(name);
  allow_winograd(name == "off" ? Winograd::off : name == "4x4" ? Winograd::tiles_4x4 : Winograd::tiles_2x2);
  allow_winograd_bf16(name != "off");
}

}  // namespace plumb::tools

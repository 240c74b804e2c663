// Names of devices.
#include "engine/core/device.h"

#include "engine/core/error.h"

namespace plumb {

std::string to_string(Device d) { return d.type == DeviceType::cpu ? "cpu" : "cuda:" + std::to_string(d.index); }

Device device_from_name(std::string_view text) {
  if (text == "cpu") return {};
  if (text == "cuda") return {DeviceType::cuda, 0};
  if (text.substr(0, 5) == "cuda:" && text.size() == 6 && text[5] >= '0' && text[5] <= '9')
    return {DeviceType::cuda, static_cast<int8_t>(text[5] - '0')};
  throw ValueError("device: \"" + std::string(text) + "\" is unknown; choose cpu, cuda or cuda:N");
}

}  // namespace plumb

// Whether the device that was asked for is there.
#include "tools/cli/device_option.h"

#include "engine/core/device_runtime.h"
#include "engine/core/error.h"

namespace plumb::tools {

Device checked_device(const std::string& name) {
  Device device = device_from_name(name);
  int devices = device_count(device.type);
  if (devices == 0) throw DeviceError("--device " + name + ": " + device_problem(device.type));
  if (device.index >= devices) throw DeviceError("--device " + name + " is not there: this machine has " + std::to_string(devices));
  return device;
}

}  // namespace plumb::tools

// The option --device.
#pragma once
#include <string>

#include "engine/core/device.h"

namespace plumb::tools {

/// The device called `name` ("cpu", "cuda", "cuda:1"). Throws DeviceError, naming --device, if it is not there, with the reason.
Device checked_device(const std::string& name);

}  // namespace plumb::tools

// Where a tensor's elements live.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace plumb {

enum class DeviceType : uint8_t { cpu, cuda };
inline constexpr int kDeviceTypes = 2;

struct Device {
  DeviceType type = DeviceType::cpu;
  int8_t index = 0;
  friend bool operator==(Device, Device) = default;
};
inline constexpr Device cpu{};

/// "cpu", "cuda:0".
std::string to_string(Device d);
/// "cpu", "cuda" or "cuda:N". Throws ValueError for another text.
Device device_from_name(std::string_view text);

}  // namespace plumb

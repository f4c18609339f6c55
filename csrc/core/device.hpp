#pragma once

#include <cstdint>
#include <string>

namespace lcx {

enum class DeviceType : std::uint8_t { kCpu, kCuda };

/// Where an array's memory lives.
struct Device {
  DeviceType type = DeviceType::kCpu;
  int index = 0;

  friend bool operator==(const Device&, const Device&) = default;
};

inline std::string to_string(Device device) {
  return device.type == DeviceType::kCpu ? "cpu" : "cuda:" + std::to_string(device.index);
}

}  // namespace lcx

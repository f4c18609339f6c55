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

/// A CUDA stream (cudaStream_t), which an operation on a GPU puts its work on. The null stream is CUDA's default one.
/// Ignored by operations on the CPU.
struct Stream {
  void* handle = nullptr;
};

inline std::string to_string(Device device) {
  return device.type == DeviceType::kCpu ? "cpu" : "cuda:" + std::to_string(device.index);
}

}  // namespace lcx

#pragma once

#include <string>

#include "core/device.hpp"

namespace lcx {

/// Why no GPU can be used, or nothing if one can. Never throws, needs no driver.
std::string why_no_cuda_device();

/// Forgets the last error of the calling thread, where another library has left one and told of it.
void forget_cuda_error();

/// Makes a GPU current for the calling thread as long as it lives: for code that may not include CUDA's headers.
class CurrentDevice {
 public:
  /// Throws Error(kDevice) if there is no such GPU.
  explicit CurrentDevice(Device device);
  ~CurrentDevice();
  CurrentDevice(const CurrentDevice&) = delete;
  CurrentDevice& operator=(const CurrentDevice&) = delete;

 private:
  int previous_ = 0;
};

}  // namespace lcx

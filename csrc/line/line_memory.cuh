#pragma once

#include <cstddef>
#include <utility>

#include "core/cuda_support.cuh"

namespace lcx {

/// Memory that lives as long as its owner, on the device or pinned on the host.
template <bool IsPinned>
class LineMemory {
 public:
  LineMemory() = default;
  LineMemory(std::size_t bytes, Device device) {
    const DeviceGuard guard(device);
    const std::size_t some = bytes > 0 ? bytes : 1;
    LCX_CUDA_CHECK(IsPinned ? cudaMallocHost(&data_, some) : cudaMalloc(&data_, some));
    bytes_ = some;
  }
  ~LineMemory() {
    if (data_ != nullptr) IsPinned ? cudaFreeHost(data_) : cudaFree(data_);
  }
  LineMemory(LineMemory&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  LineMemory& operator=(LineMemory&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }

  template <typename T>
  T* as() const {
    return static_cast<T*>(data_);
  }
  std::size_t bytes() const { return bytes_; }

 private:
  void* data_ = nullptr;
  std::size_t bytes_ = 0;
};

using DeviceMemory = LineMemory<false>;
using PinnedMemory = LineMemory<true>;

}  // namespace lcx

#pragma once

// What every CUDA twin needs: on the host checked calls, the right device, scratch memory and the way back; in kernels
// the number of a thread and the mask of a whole warp.

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/device.hpp"
#include "core/error.hpp"
#include "core/gpu_compat.cuh"
#include "core/workspace.hpp"

namespace lcx {

[[noreturn]] void throw_cuda_error(cudaError_t error, const char* what);

/// Throws Error(kDevice) with CUDA's words if the call fails.
#define LCX_CUDA_CHECK(call)                                                 \
  do {                                                                       \
    const cudaError_t lcx_error = (call);                                    \
    if (lcx_error != cudaSuccess) ::lcx::throw_cuda_error(lcx_error, #call); \
  } while (false)

inline cudaStream_t to_cuda(Stream stream) { return static_cast<cudaStream_t>(stream.handle); }

constexpr int kThreadsPerBlock = 256;

/// Blocks of kThreadsPerBlock for one thread per item.
inline dim3 blocks_for(std::int64_t items) {
  return dim3(static_cast<unsigned>((items + kThreadsPerBlock - 1) / kThreadsPerBlock));
}
/// Blocks for one warp per item.
inline dim3 warp_blocks_for(std::int64_t items) { return blocks_for(items * 32); }

/// All lanes of a warp take part.
constexpr unsigned kAllLanes = 0xffffffffU;

/// A thread's number in a grid of one dimension: what blocks_for and warp_blocks_for (/ 32) are for.
__device__ inline std::int64_t thread_number() {
  return static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}

/// Makes a device current for as long as it lives.
class DeviceGuard {
 public:
  explicit DeviceGuard(Device device);
  ~DeviceGuard();
  DeviceGuard(const DeviceGuard&) = delete;
  DeviceGuard& operator=(const DeviceGuard&) = delete;

 private:
  int previous_ = 0;
  bool changed_ = false;
};

/// Device memory for one call, taken and given back in the stream's order from a pool that keeps what it once had:
/// after the first call of a size, no allocation.
class Scratch {
 public:
  Scratch(std::size_t bytes, Device device, Stream stream);
  ~Scratch();
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  void* data() const { return data_; }
  Workspace workspace() const { return Workspace(data_, bytes_); }

 private:
  void* data_ = nullptr;
  std::size_t bytes_;
  Device device_;
  Stream stream_;
};

/// Copies device memory to the host through pinned memory that the thread keeps, and waits for the stream.
void download(void* to, const void* from, std::size_t bytes, Stream stream);

template <typename T>
T download_value(const T* from, Stream stream) {
  T value;
  download(&value, from, sizeof(T), stream);
  return value;
}

template <typename T>
std::vector<T> download_array(const T* from, std::int64_t count, Stream stream) {
  std::vector<T> values(static_cast<std::size_t>(count));
  if (count > 0) download(values.data(), from, values.size() * sizeof(T), stream);
  return values;
}

/// Copies host memory to the device in the stream's order; `from` may go away at once.
void upload(void* to, const void* from, std::size_t bytes, Stream stream);

}  // namespace lcx

#include <array>
#include <cstring>
#include <mutex>
#include <string>

#include "core/cuda_support.cuh"

namespace lcx {
namespace {

constexpr int kMostDevices = 64;

/// The pool of a device. Our own, so that keeping memory in it changes nothing for other users of the device.
cudaMemPool_t pool_of(int device) {
  static std::array<cudaMemPool_t, kMostDevices> pools{};
  static std::mutex mutex;
  const std::lock_guard lock(mutex);
  require(device >= 0 && device < kMostDevices, ErrorCode::kDevice, "device ", device, "; at most ", kMostDevices);
  cudaMemPool_t& pool = pools[static_cast<std::size_t>(device)];
  if (pool == nullptr) {
    cudaMemPoolProps properties{};
    properties.allocType = cudaMemAllocationTypePinned;
    properties.location.type = cudaMemLocationTypeDevice;
    properties.location.id = device;
    LCX_CUDA_CHECK(cudaMemPoolCreate(&pool, &properties));
    std::uint64_t keep_all = ~std::uint64_t{0};
    LCX_CUDA_CHECK(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &keep_all));
  }
  return pool;
}

/// Pinned memory of a thread: grows, never shrinks.
class Pinned {
 public:
  ~Pinned() { cudaFreeHost(data_); }
  void* at_least(std::size_t bytes) {
    if (bytes > bytes_) {
      LCX_CUDA_CHECK(cudaFreeHost(data_));
      data_ = nullptr;
      bytes_ = 0;
      LCX_CUDA_CHECK(cudaMallocHost(&data_, bytes));
      bytes_ = bytes;
    }
    return data_;
  }

 private:
  void* data_ = nullptr;
  std::size_t bytes_ = 0;
};

}  // namespace

void throw_cuda_error(cudaError_t error, const char* what) {
  cudaGetLastError();  // so that it is not reported again by a later call
  throw Error(ErrorCode::kDevice, std::string(what) + " failed: " + cudaGetErrorString(error));
}

DeviceGuard::DeviceGuard(Device device) {
  LCX_CUDA_CHECK(cudaGetDevice(&previous_));
  if (previous_ != device.index) {
    LCX_CUDA_CHECK(cudaSetDevice(device.index));
    changed_ = true;
  }
}

DeviceGuard::~DeviceGuard() {
  if (changed_) cudaSetDevice(previous_);
}

Scratch::Scratch(std::size_t bytes, Device device, Stream stream) : bytes_(bytes), device_(device), stream_(stream) {
  LCX_CUDA_CHECK(cudaMallocFromPoolAsync(&data_, bytes > 0 ? bytes : 1, pool_of(device.index), to_cuda(stream)));
}

Scratch::~Scratch() {
  // Often the last owner of a result lets go long after the call. CUDA's default streams belong to the current device.
  int previous = device_.index;
  if (cudaGetDevice(&previous) != cudaSuccess) return;  // the process is ending
  if (previous != device_.index) cudaSetDevice(device_.index);
  // Where the stream has ended before us nothing can be done, but no later call shall be told of it.
  if (cudaFreeAsync(data_, to_cuda(stream_)) != cudaSuccess) cudaGetLastError();
  if (previous != device_.index) cudaSetDevice(previous);
}

void download(void* to, const void* from, std::size_t bytes, Stream stream) {
  // Pageable memory would be staged in small pieces by the driver.
  static thread_local Pinned pinned;
  void* const stage = pinned.at_least(bytes);
  LCX_CUDA_CHECK(cudaMemcpyAsync(stage, from, bytes, cudaMemcpyDeviceToHost, to_cuda(stream)));
  LCX_CUDA_CHECK(cudaStreamSynchronize(to_cuda(stream)));
  std::memcpy(to, stage, bytes);
}

void upload(void* to, const void* from, std::size_t bytes, Stream stream) {
  if (bytes == 0) return;
  LCX_CUDA_CHECK(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, to_cuda(stream)));
}

}  // namespace lcx

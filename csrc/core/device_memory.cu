#include "core/cuda_support.cuh"
#include "core/device_memory.hpp"
#include "core/own_stream.cuh"

namespace lcx {

std::shared_ptr<void> allocate_device(std::size_t bytes, Device device, Stream stream) {
  const DeviceGuard guard(device);
  auto scratch = std::make_shared<Scratch>(bytes, device, stream);
  void* const data = scratch->data();
  return {std::move(scratch), data};
}

void clear_device(void* data, std::size_t bytes, Device device, Stream stream) {
  const DeviceGuard guard(device);
  LCX_CUDA_CHECK(cudaMemsetAsync(data, 0, bytes, to_cuda(stream)));
}

void copy_to_host(void* to, const void* from, std::size_t bytes, Device device, Stream stream) {
  const DeviceGuard guard(device);
  download(to, from, bytes, stream);
}

void copy_to_device(void* to, const void* from, std::size_t bytes, Device device, Stream stream) {
  const DeviceGuard guard(device);
  upload(to, from, bytes, stream);
}

void order_after(Stream stream, Stream producer, Device device) {
  if (stream.handle == producer.handle) return;
  const DeviceGuard guard(device);
  OwnEvent(device).order(producer, stream);  // what was put on the streams stays in force
}

int device_index_of(const void* data) {
  cudaPointerAttributes attributes{};
  LCX_CUDA_CHECK(cudaPointerGetAttributes(&attributes, data));
  const bool on_device = attributes.type == cudaMemoryTypeDevice || attributes.type == cudaMemoryTypeManaged;
  return on_device ? attributes.device : -1;
}

int cuda_device_count() noexcept {
  int count = 0;
  if (cudaGetDeviceCount(&count) == cudaSuccess) return count;
  cudaGetLastError();
  return 0;
}

}  // namespace lcx

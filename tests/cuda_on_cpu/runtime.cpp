// Errors, devices, memory, copies and launches.

#include "cuda_on_cpu/runtime.hpp"

#include <algorithm>
#include <cstring>
#include <vector>

#include "cuda_on_cpu/emulation.hpp"
#include "cuda_on_cpu/memory.hpp"
#include "cuda_on_cpu/stream.hpp"

namespace cuda_on_cpu {
namespace {

thread_local cudaError_t last_error = cudaSuccess;
thread_local int current_device = 0;
cudaError_t sticky = cudaSuccess;
std::string message;
Schedule schedule;
Counters totals;

cudaError_t do_launch(const Launch& launch) {
  const DeviceAccess access;
  ++totals.launches;
  const std::string error = run(launch, schedule);
  if (error.empty()) return cudaSuccess;
  message = error;
  sticky = error.find("illegal address") != std::string::npos ? cudaErrorIllegalAddress
           : error.find("does not end") != std::string::npos  ? cudaErrorLaunchTimeout
                                                              : cudaErrorLaunchFailure;
  return sticky;
}

/// Whether `bytes` bytes at `data` lie in device memory (true), in host memory (false), or across an end (an error).
cudaError_t locate(const void* data, std::size_t bytes, bool& on_device) {
  const auto allocation = find_device(data);
  on_device = allocation.has_value();
  if (!on_device) return cudaSuccess;
  const auto* end = static_cast<const char*>(data) + bytes;
  return end <= allocation->data + allocation->bytes ? cudaSuccess : cudaErrorInvalidValue;
}

bool contradicts(cudaMemcpyKind kind, bool to_device, bool from_device) {
  switch (kind) {
    case cudaMemcpyHostToHost:
      return to_device || from_device;
    case cudaMemcpyHostToDevice:
      return !to_device || from_device;
    case cudaMemcpyDeviceToHost:
      return to_device || !from_device;
    case cudaMemcpyDeviceToDevice:
      return !to_device || !from_device;
    case cudaMemcpyDefault:
      return false;
  }
  return true;
}

struct Copy {
  char* to;
  std::size_t to_pitch;
  const char* from;
  std::size_t from_pitch;
  std::size_t width;
  std::size_t height;
};

// A copy may span guards between the pieces of an arena; its ends were checked when it was asked for.
#if defined(__SANITIZE_ADDRESS__)
__attribute__((no_sanitize("address"),
               optimize("no-tree-loop-distribute-patterns"))) void move_bytes(char* to, const char* from,
                                                                              std::size_t bytes) {
  for (std::size_t k = 0; k < bytes; ++k) to[k] = from[k];
}
#else
void move_bytes(char* to, const char* from, std::size_t bytes) { std::memmove(to, from, bytes); }
#endif

cudaError_t do_copy(const Copy& copy) {
  const DeviceAccess access;
  ++totals.copies;
  for (std::size_t y = 0; y < copy.height; ++y) {
    move_bytes(copy.to + y * copy.to_pitch, copy.from + y * copy.from_pitch, copy.width);
  }
  return cudaSuccess;
}

cudaError_t ask_copy(Copy copy, cudaMemcpyKind kind, cudaStream_t handle) {
  CudaStream* stream = stream_of(handle);
  if (stream == nullptr) return note(cudaErrorInvalidResourceHandle);
  if (copy.width == 0 || copy.height == 0) return cudaSuccess;
  bool to_device = false;
  bool from_device = false;
  const std::size_t to_bytes = copy.to_pitch * (copy.height - 1) + copy.width;
  const std::size_t from_bytes = copy.from_pitch * (copy.height - 1) + copy.width;
  if (locate(copy.to, to_bytes, to_device) != cudaSuccess ||
      locate(copy.from, from_bytes, from_device) != cudaSuccess || contradicts(kind, to_device, from_device) ||
      copy.to_pitch < copy.width || copy.from_pitch < copy.width) {
    return note(cudaErrorInvalidValue);
  }
  const bool to_pageable = !to_device && !is_pinned(copy.to);
  const bool from_pageable = !from_device && !is_pinned(copy.from);
  if (stream->capture && (to_pageable || from_pageable)) {
    stream->capture->is_invalid = true;
    return note(cudaErrorStreamCaptureUnsupported);
  }
  if (!from_pageable) return enqueue(stream, [copy] { return do_copy(copy); });
  auto staged = std::make_shared<std::vector<char>>(copy.from, copy.from + from_bytes);
  return enqueue(stream, [copy, staged] {
    Copy from_stage = copy;
    from_stage.from = staged->data();
    return do_copy(from_stage);
  });
}

}  // namespace

void set_schedule(Schedule to) {
  const std::lock_guard lock(mutex());
  schedule = to;
}
Schedule schedule_now() { return schedule; }
std::string last_message() { return message; }
Counters counters() { return totals; }
void count_wait() { ++totals.waits; }
void count_graph() { ++totals.graphs; }

void clear_errors() {
  sticky = cudaSuccess;
  last_error = cudaSuccess;
  message.clear();
}

cudaError_t note(cudaError_t error) {
  if (error != cudaSuccess) last_error = error;
  return error;
}

cudaError_t sticky_error() { return sticky; }
int device_now() { return current_device; }

void enqueue_launch(Launch launch, cudaStream_t handle) {
  const std::lock_guard lock(mutex());
  CudaStream* stream = stream_of(handle);
  const auto threads = launch.block.count();
  constexpr unsigned kMostBlocks = 65535;
  if (stream == nullptr || stream->device != current_device) {
    note(cudaErrorInvalidResourceHandle);
  } else if (threads == 0 || threads > 1024 || launch.grid.count() == 0 || launch.grid.y > kMostBlocks ||
             launch.grid.z > kMostBlocks || launch.dynamic_shared > 48 * 1024) {
    note(cudaErrorInvalidConfiguration);
  } else {
    enqueue(stream, [launch = std::move(launch)] { return do_launch(launch); });
  }
}

}  // namespace cuda_on_cpu

using namespace cuda_on_cpu;

const char* cudaGetErrorName(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "cudaSuccess";
    case cudaErrorInvalidValue:
      return "cudaErrorInvalidValue";
    case cudaErrorMemoryAllocation:
      return "cudaErrorMemoryAllocation";
    case cudaErrorInvalidConfiguration:
      return "cudaErrorInvalidConfiguration";
    case cudaErrorNoDevice:
      return "cudaErrorNoDevice";
    case cudaErrorInvalidDevice:
      return "cudaErrorInvalidDevice";
    case cudaErrorInvalidResourceHandle:
      return "cudaErrorInvalidResourceHandle";
    case cudaErrorNotReady:
      return "cudaErrorNotReady";
    case cudaErrorIllegalAddress:
      return "cudaErrorIllegalAddress";
    case cudaErrorLaunchTimeout:
      return "cudaErrorLaunchTimeout";
    case cudaErrorLaunchFailure:
      return "cudaErrorLaunchFailure";
    case cudaErrorNotSupported:
      return "cudaErrorNotSupported";
    case cudaErrorStreamCaptureUnsupported:
      return "cudaErrorStreamCaptureUnsupported";
    case cudaErrorStreamCaptureInvalidated:
      return "cudaErrorStreamCaptureInvalidated";
    case cudaErrorStreamCaptureUnjoined:
      return "cudaErrorStreamCaptureUnjoined";
    case cudaErrorStreamCaptureImplicit:
      return "cudaErrorStreamCaptureImplicit";
  }
  return "cudaErrorUnknown";
}

const char* cudaGetErrorString(cudaError_t error) {
  static thread_local std::string words;
  words = std::string(cudaGetErrorName(error)) + (message.empty() ? "" : " (" + message + ")");
  return words.c_str();
}

cudaError_t cudaGetLastError() {
  const cudaError_t error = sticky != cudaSuccess ? sticky : last_error;
  last_error = cudaSuccess;
  return error;
}
cudaError_t cudaPeekAtLastError() { return sticky != cudaSuccess ? sticky : last_error; }

cudaError_t cudaGetDeviceCount(int* count) {
  *count = kDevices;
  return cudaSuccess;
}
cudaError_t cudaGetDevice(int* device) {
  *device = current_device;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) {
  if (device < 0 || device >= kDevices) return note(cudaErrorInvalidDevice);
  current_device = device;
  return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr, int device) {
  if (device < 0 || device >= kDevices) return note(cudaErrorInvalidDevice);
  *value = 2;  // multiprocessors: few, so that loops over a grid's stride go round
  return cudaSuccess;
}
cudaError_t cudaDriverGetVersion(int* version) {
  *version = 13000;
  return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* version) { return cudaDriverGetVersion(version); }

cudaError_t cudaMalloc(void** data, std::size_t bytes) {
  const std::lock_guard lock(mutex());
  if (capture_forbids(nullptr)) return note(cudaErrorStreamCaptureUnsupported);
  *data = allocate_device(bytes, current_device);
  return *data != nullptr ? sticky : note(cudaErrorMemoryAllocation);
}
cudaError_t cudaFree(void* data) {
  const std::lock_guard lock(mutex());
  if (data == nullptr) return sticky;
  count_wait();
  if (capture_forbids(nullptr)) return note(cudaErrorStreamCaptureUnsupported);
  const cudaError_t error = drain_everything();
  if (!free_device(data)) return note(cudaErrorInvalidValue);
  return note(error);
}
cudaError_t cudaMallocAsync(void** data, std::size_t bytes, cudaStream_t stream) {
  return cudaMallocFromPoolAsync(data, bytes, nullptr, stream);
}
cudaError_t cudaMallocFromPoolAsync(void** data, std::size_t bytes, cudaMemPool_t, cudaStream_t handle) {
  const std::lock_guard lock(mutex());
  CudaStream* stream = stream_of(handle);
  if (stream == nullptr) return note(cudaErrorInvalidResourceHandle);
  if (capture_forbids(stream)) return note(cudaErrorStreamCaptureUnsupported);
  *data = allocate_device(bytes, stream->device);
  return *data != nullptr ? sticky : note(cudaErrorMemoryAllocation);
}
cudaError_t cudaFreeAsync(void* data, cudaStream_t handle) {
  const std::lock_guard lock(mutex());
  CudaStream* stream = stream_of(handle);
  if (stream == nullptr) return note(cudaErrorInvalidResourceHandle);
  return enqueue(stream, [data] {
    if (free_device(data)) return cudaSuccess;
    message = "memory around an allocation was written to, or it was freed twice";
    return sticky = cudaErrorIllegalAddress;
  });
}
cudaError_t cudaMallocHost(void** data, std::size_t bytes) {
  const std::lock_guard lock(mutex());
  *data = allocate_pinned(bytes);
  return cudaSuccess;
}
cudaError_t cudaHostAlloc(void** data, std::size_t bytes, unsigned) { return cudaMallocHost(data, bytes); }
cudaError_t cudaFreeHost(void* data) {
  const std::lock_guard lock(mutex());
  if (data == nullptr) return cudaSuccess;
  drain_everything();
  return free_pinned(data) ? cudaSuccess : note(cudaErrorInvalidValue);
}
cudaError_t cudaMemPoolCreate(cudaMemPool_t* pool, const cudaMemPoolProps*) {
  static int any = 0;
  *pool = &any;
  return cudaSuccess;
}
cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t, cudaMemPoolAttr, void*) { return cudaSuccess; }

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* pointer) {
  const std::lock_guard lock(mutex());
  auto* plain = const_cast<void*>(pointer);
  if (const auto allocation = find_device(pointer)) {
    *attributes = {cudaMemoryTypeDevice, allocation->device, plain, nullptr};
  } else {
    *attributes = {is_pinned(pointer) ? cudaMemoryTypeHost : cudaMemoryTypeUnregistered, 0, nullptr, plain};
  }
  return cudaSuccess;
}

cudaError_t cudaMemcpy2DAsync(void* to, std::size_t to_pitch, const void* from, std::size_t from_pitch,
                              std::size_t width, std::size_t height, cudaMemcpyKind kind, cudaStream_t stream) {
  const std::lock_guard lock(mutex());
  return ask_copy({static_cast<char*>(to), to_pitch, static_cast<const char*>(from), from_pitch, width, height}, kind,
                  stream);
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  return cudaMemcpy2DAsync(to, bytes, from, bytes, bytes, 1, kind, stream);
}
cudaError_t cudaMemcpy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
  const cudaError_t error = cudaMemcpyAsync(to, from, bytes, kind, nullptr);
  return error != cudaSuccess ? error : cudaStreamSynchronize(nullptr);
}
cudaError_t cudaMemset2DAsync(void* to, std::size_t pitch, int value, std::size_t width, std::size_t height,
                              cudaStream_t handle) {
  const std::lock_guard lock(mutex());
  CudaStream* stream = stream_of(handle);
  if (stream == nullptr) return note(cudaErrorInvalidResourceHandle);
  if (width == 0 || height == 0) return cudaSuccess;
  bool on_device = false;
  if (locate(to, pitch * (height - 1) + width, on_device) != cudaSuccess || !on_device) {
    return note(cudaErrorInvalidValue);
  }
  return enqueue(stream, [=] {
    const DeviceAccess access;
    for (std::size_t y = 0; y < height; ++y) std::memset(static_cast<char*>(to) + y * pitch, value, width);
    return cudaSuccess;
  });
}
cudaError_t cudaMemsetAsync(void* to, int value, std::size_t bytes, cudaStream_t stream) {
  return cudaMemset2DAsync(to, bytes, value, bytes, 1, stream);
}
cudaError_t cudaMemset(void* to, int value, std::size_t bytes) { return cudaMemsetAsync(to, value, bytes, nullptr); }

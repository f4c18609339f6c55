#pragma once

#include <cstddef>
#include <memory>

#include "core/device.hpp"

namespace lcx {

/// What the bindings need of CUDA. In a build without CUDA these throw Error(kUnsupported).

/// Device memory, 256-byte aligned, ready for work that comes later on `stream`; given back in the order of the same
/// stream, so that work already on it may still use it.
std::shared_ptr<void> allocate_device(std::size_t bytes, Device device, Stream stream);

/// Zeroes device memory in the stream's order.
void clear_device(void* data, std::size_t bytes, Device device, Stream stream);

/// Copies device memory to the host and waits for it.
void copy_to_host(void* to, const void* from, std::size_t bytes, Device device, Stream stream);

/// Copies host memory to the device in the stream's order; `from` may go away at once.
void copy_to_device(void* to, const void* from, std::size_t bytes, Device device, Stream stream);

/// Work that comes later on `stream` waits for all that is on `producer` now. The host does not wait.
void order_after(Stream stream, Stream producer, Device device);

/// The device that an address belongs to; -1 if it is not in device memory.
int device_index_of(const void* data);

/// CUDA devices this process can use; 0 without a driver. Never throws.
int cuda_device_count() noexcept;

}  // namespace lcx

#pragma once

#include <cstddef>
#include <optional>

namespace cuda_on_cpu {

// Note [Device memory apart]
// The host cannot read or write device memory: its pages are inaccessible except while work of a stream runs, so a
// host access stops the program with a message. Each allocation ends at an inaccessible page and begins behind one, and
// starts out as 0xA5 bytes: a kernel that leaves its array there ends in cudaErrorIllegalAddress, one that relies on
// zeros gets none. Page granularity misses what lies within a larger allocation; AddressSanitizer, in a build with it,
// sees each byte.

struct Allocation {
  char* data = nullptr;
  std::size_t bytes = 0;
  int device = 0;
};

/// Nothing if there is no room.
void* allocate_device(std::size_t bytes, int device);
/// False if `data` is not the start of an allocation, or if the bytes around it were written to.
bool free_device(void* data);
/// The allocation that `address` lies in.
std::optional<Allocation> find_device(const void* address);

void* allocate_pinned(std::size_t bytes);
bool free_pinned(void* data);
bool is_pinned(const void* address);

/// While one of these lives, device memory may be touched: what is touched opens, and is closed again at the end.
class DeviceAccess {
 public:
  DeviceAccess();
  ~DeviceAccess();
  DeviceAccess(const DeviceAccess&) = delete;
  DeviceAccess& operator=(const DeviceAccess&) = delete;
};

/// Marks part of an allocation as untouchable, or touchable again: AddressSanitizer builds only.
void poison(void* data, std::size_t bytes);
void unpoison(void* data, std::size_t bytes);

/// Bytes in use on all devices, and allocations made since the program began.
struct MemoryUse {
  std::size_t bytes = 0;
  std::size_t live = 0;
  std::size_t allocations = 0;
};
MemoryUse memory_use();

}  // namespace cuda_on_cpu

#include "cuda_on_cpu/memory.hpp"

#include <signal.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <sstream>
#include <vector>

#include "cuda_on_cpu/guard.hpp"
#include "cuda_on_cpu/scheduler.hpp"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

namespace cuda_on_cpu {
namespace {

constexpr std::size_t kPage = 4096;
constexpr std::size_t kLimit = std::size_t{4} << 30;
constexpr unsigned char kFill = 0xA5;

struct Region {
  Allocation allocation;
  char* pages;             // the first accessible one
  std::size_t page_bytes;  // accessible bytes, a multiple of kPage
};

std::map<char*, Region> regions;  // by start of the data
std::map<char*, std::size_t> pinned;
MemoryUse use;
int open_count = 0;
std::vector<char*> opened;  // keys of the regions that may be touched now
struct sigaction earlier{};

void protect(const Region& region, bool open) {
  mprotect(region.pages, region.page_bytes, open ? PROT_READ | PROT_WRITE : PROT_NONE);
}

// A region opens at its first touch: a launch meets few of the many there are.
bool open_at(const char* at) {
  if (open_count == 0) return false;
  for (const auto& [data, region] : regions) {
    if (at < region.pages || at >= region.pages + region.page_bytes) continue;
    if (std::find(opened.begin(), opened.end(), data) != opened.end()) return false;
    protect(region, true);
    opened.push_back(data);
    return true;
  }
  return false;
}

// A thread of a kernel ends its grid, with cudaErrorIllegalAddress; the host stops. The switch out of the handler is
// sound: the fault is synchronous and the fiber's stack is never used again.
void on_fault(int signal, siginfo_t* info, void* context) {
  const auto* at = static_cast<const char*>(info->si_addr);
  if (open_at(at)) return;
  if (in_kernel()) {
    std::ostringstream message;
    message << "illegal address " << info->si_addr << " in " << describe_current();
    fail(message.str());
  }
  for (const auto& [data, region] : regions) {
    if (at < region.pages - kPage || at >= region.pages + region.page_bytes + kPage) continue;
    std::fprintf(stderr, "cuda_on_cpu: the host touches device memory at %p\n", info->si_addr);
    break;
  }
  if (earlier.sa_flags & SA_SIGINFO && earlier.sa_sigaction != nullptr) {
    earlier.sa_sigaction(signal, info, context);
    return;
  }
  ::signal(SIGSEGV, SIG_DFL);
}

void install_handler() {
  static const bool installed = [] {
    struct sigaction action{};
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO | SA_NODEFER;
    sigaction(SIGSEGV, &action, &earlier);
    return true;
  }();
  static_cast<void>(installed);
}

bool is_filled(const char* begin, const char* end) {
  for (; begin != end; ++begin) {
    if (static_cast<unsigned char>(*begin) != kFill) return false;
  }
  return true;
}

}  // namespace

void poison([[maybe_unused]] void* data, [[maybe_unused]] std::size_t bytes) {
#if defined(__SANITIZE_ADDRESS__)
  __asan_poison_memory_region(data, bytes);
#endif
}

void unpoison([[maybe_unused]] void* data, [[maybe_unused]] std::size_t bytes) {
#if defined(__SANITIZE_ADDRESS__)
  __asan_unpoison_memory_region(data, bytes);
#endif
}

void forbid_access(void* data, std::size_t bytes) {
  if (find_device(data)) poison(data, bytes);
}

void allow_access(void* data, std::size_t bytes) {
  if (find_device(data)) unpoison(data, bytes);
}

void* allocate_device(std::size_t bytes, int device) {
  install_handler();
  if (bytes > kLimit - use.bytes) return nullptr;
  // The data ends where its last page does, but for CUDA's least useful alignment, that of a vector load.
  const std::size_t padded = (bytes + 15) / 16 * 16;
  const std::size_t page_bytes = std::max((padded + kPage - 1) / kPage * kPage, kPage);
  void* mapped = mmap(nullptr, page_bytes + 2 * kPage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapped == MAP_FAILED) return nullptr;
  char* pages = static_cast<char*>(mapped) + kPage;
  char* data = pages + page_bytes - padded;
  const Region region{{data, bytes, device}, pages, page_bytes};
  protect(region, true);
  std::memset(pages, kFill, page_bytes);
  poison(pages, page_bytes);
  unpoison(data, bytes);
  protect(region, false);
  regions[data] = region;
  use.bytes += bytes;
  ++use.live;
  ++use.allocations;
  return data;
}

bool free_device(void* data) {
  const auto found = regions.find(static_cast<char*>(data));
  if (found == regions.end()) return false;
  const Region region = found->second;
  regions.erase(found);
  std::erase(opened, region.allocation.data);
  use.bytes -= region.allocation.bytes;
  --use.live;
  protect(region, true);
  unpoison(region.pages, region.page_bytes);
  const char* end = region.allocation.data + region.allocation.bytes;
  const bool intact =
      is_filled(region.pages, region.allocation.data) && is_filled(end, region.pages + region.page_bytes);
  munmap(region.pages - kPage, region.page_bytes + 2 * kPage);
  return intact;
}

std::optional<Allocation> find_device(const void* address) {
  auto* at = const_cast<char*>(static_cast<const char*>(address));
  auto after = regions.upper_bound(at);
  if (after == regions.begin()) return std::nullopt;
  const Allocation& allocation = std::prev(after)->second.allocation;
  if (at > allocation.data && at >= allocation.data + allocation.bytes) return std::nullopt;
  return allocation;
}

void* allocate_pinned(std::size_t bytes) {
  void* data = std::malloc(bytes ? bytes : 1);
  std::memset(data, kFill, bytes);
  pinned[static_cast<char*>(data)] = bytes;
  ++use.allocations;
  return data;
}

bool free_pinned(void* data) {
  if (pinned.erase(static_cast<char*>(data)) == 0) return false;
  std::free(data);
  return true;
}

bool is_pinned(const void* address) {
  auto* at = const_cast<char*>(static_cast<const char*>(address));
  auto after = pinned.upper_bound(at);
  if (after == pinned.begin()) return false;
  const auto& [data, bytes] = *std::prev(after);
  return at < data + bytes;
}

DeviceAccess::DeviceAccess() { ++open_count; }

DeviceAccess::~DeviceAccess() {
  if (--open_count > 0) return;
  for (char* data : opened) protect(regions.at(data), false);
  opened.clear();
}

MemoryUse memory_use() { return use; }

}  // namespace cuda_on_cpu

#pragma once

#include <cstddef>
#include <cstdint>

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace lcx {

/// Asks for large pages where they fit into fresh memory that is about to be filled. A page that is touched first is
/// cleared by the kernel, and of small ones a film has thousands: that takes as long as reading the film, or several
/// times as long in a virtual machine. Advice only: nothing happens to less than 4 MiB, or where there are none.
inline void prefer_large_pages([[maybe_unused]] void* memory, [[maybe_unused]] std::size_t bytes) {
#ifdef MADV_HUGEPAGE
  constexpr std::uintptr_t kLeast = std::uintptr_t{1} << 22;
  constexpr std::uintptr_t kPage = 4096;  // madvise wants whole ones; the kernel finds the large ones in between
  const auto begin = (reinterpret_cast<std::uintptr_t>(memory) + kPage - 1) / kPage * kPage;
  const auto end = (reinterpret_cast<std::uintptr_t>(memory) + bytes) / kPage * kPage;
  if (end < begin + kLeast) return;
  ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
#endif
}

}  // namespace lcx

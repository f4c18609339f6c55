#pragma once

#include <cstddef>
#include <cstdint>

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace lcx {

inline constexpr std::size_t kLargePage = std::size_t{2} << 20;

/// Asks for large pages in fresh memory that is about to be filled, as many as lie whole in it. A page that is touched
/// first is cleared by the kernel, and of small ones a film has thousands: that takes as long as reading the film, or
/// several times as long in a virtual machine. Advice only: nothing happens where there are none.
inline void prefer_large_pages([[maybe_unused]] void* memory, [[maybe_unused]] std::size_t bytes) {
#ifdef MADV_HUGEPAGE
  const auto begin = (reinterpret_cast<std::uintptr_t>(memory) + kLargePage - 1) / kLargePage * kLargePage;
  const auto end = (reinterpret_cast<std::uintptr_t>(memory) + bytes) / kLargePage * kLargePage;
  if (begin < end) ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
#endif
}

}  // namespace lcx

#pragma once

#include <cstddef>

namespace lcx {

// Note [Kept memory]
// The kernel clears a page before it hands it out, which for a map of 54 MB takes longer than filling it. Large
// results, and the bit masks that operations work in, therefore come from here: memory that is given back is kept for
// the next result of its size, at most kMostKept pieces of kMostKeptBytes together, the oldest being unmapped first.
// What is kept is marked so that the kernel may take its pages whenever it needs them (MADV_FREE; not what
// is under 2 MiB), so it stands in nobody's way; release_kept_memory() unmaps it at once. Addresses begin at multiples
// of 2 MiB, and the kernel is asked for pages of that size.

/// Fewer bytes come from the ordinary allocator, which keeps its own.
inline constexpr std::size_t kLeastKept = std::size_t{1} << 20;
inline constexpr std::size_t kMostKept = 8;
inline constexpr std::size_t kMostKeptBytes = std::size_t{256} << 20;

/// A piece of memory, for one owner.
class KeptMemory {
 public:
  KeptMemory() = default;
  /// At least `bytes`, of any content. Throws std::bad_alloc if there is not so much.
  explicit KeptMemory(std::size_t bytes);
  /// Gives it back.
  ~KeptMemory();
  KeptMemory(KeptMemory&& other) noexcept;
  KeptMemory& operator=(KeptMemory&& other) noexcept;
  KeptMemory(const KeptMemory&) = delete;
  KeptMemory& operator=(const KeptMemory&) = delete;

  void* data() const { return data_; }
  /// Whether it is known to hold nothing but zeros, since it comes straight from the kernel.
  bool is_zero() const { return is_zero_; }

 private:
  void* data_ = nullptr;
  std::size_t bytes_ = 0;
  bool is_zero_ = false;
};

/// Unmaps what is kept for later; what is in use stays. Returns how many bytes that were.
std::size_t release_kept_memory();

}  // namespace lcx

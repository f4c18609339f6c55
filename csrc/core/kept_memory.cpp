#include "core/kept_memory.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <mutex>
#include <new>
#include <utility>

#ifdef __linux__
#include <sys/mman.h>
#endif

#include "core/large_pages.hpp"

namespace lcx {
namespace {

constexpr std::align_val_t kSmallAlignment{64};

struct Piece {
  void* data = nullptr;
  std::size_t bytes = 0;
};

#ifdef __linux__

constexpr std::size_t kPage = 4096;

std::size_t rounded(std::size_t bytes) { return (bytes + kPage - 1) / kPage * kPage; }

// Mapped with room to spare, and cut to where a large page begins.
Piece map_piece(std::size_t bytes) {
  void* mapped =
      mmap(nullptr, bytes + kLargePage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapped == MAP_FAILED) throw std::bad_alloc();
  const std::size_t spare = (kLargePage - reinterpret_cast<std::uintptr_t>(mapped) % kLargePage) % kLargePage;
  char* data = static_cast<char*>(mapped) + spare;
  if (spare > 0) munmap(mapped, spare);
  munmap(data + bytes, kLargePage - spare);
  prefer_large_pages(data, bytes);
  return {data, bytes};
}

void unmap(const Piece& piece) { munmap(piece.data, piece.bytes); }

void let_kernel_take(const Piece& piece) {
  if (piece.bytes >= kLargePage) madvise(piece.data, piece.bytes, MADV_FREE);  // less is not worth the call
}

constexpr bool kMapsZeros = true;

#else

std::size_t rounded(std::size_t bytes) { return bytes; }
Piece map_piece(std::size_t bytes) { return {::operator new(bytes, kSmallAlignment), bytes}; }
void unmap(const Piece& piece) { ::operator delete(piece.data, kSmallAlignment); }
void let_kernel_take(const Piece&) {}
constexpr bool kMapsZeros = false;

#endif

// What is kept, the oldest first. Has no destructor: arrays may outlive everything else. The lock is only tried, since
// a process forked while another thread held it could never have it; then nothing is kept.
struct Shelf {
  std::mutex mutex;
  std::array<Piece, kMostKept> pieces{};
  std::size_t count = 0;

  std::size_t bytes() const {
    std::size_t sum = 0;
    for (std::size_t k = 0; k < count; ++k) sum += pieces[k].bytes;
    return sum;
  }

  Piece remove(std::size_t at) {
    const Piece piece = pieces[at];
    std::move(pieces.begin() + static_cast<std::ptrdiff_t>(at) + 1, pieces.begin() + static_cast<std::ptrdiff_t>(count),
              pieces.begin() + static_cast<std::ptrdiff_t>(at));
    --count;
    return piece;
  }
};

constinit Shelf shelf;

// The newest piece that is large enough and by no more than an eighth larger, or none.
Piece find_kept(std::size_t bytes) {
  const std::unique_lock lock(shelf.mutex, std::try_to_lock);
  if (!lock) return {};
  for (std::size_t k = shelf.count; k-- > 0;) {
    const std::size_t has = shelf.pieces[k].bytes;
    if (has >= bytes && has - bytes <= bytes / 8) return shelf.remove(k);
  }
  return {};
}

void keep(const Piece& piece) {
  let_kernel_take(piece);
  std::unique_lock lock(shelf.mutex, std::try_to_lock);
  if (!lock || piece.bytes > kMostKeptBytes) {
    unmap(piece);
    return;
  }
  while (shelf.count == kMostKept || shelf.bytes() + piece.bytes > kMostKeptBytes) unmap(shelf.remove(0));
  shelf.pieces[shelf.count++] = piece;
}

}  // namespace

KeptMemory::KeptMemory(std::size_t bytes) {
  if (bytes < kLeastKept) {
    data_ = ::operator new(bytes, kSmallAlignment);
    bytes_ = bytes;
    return;
  }
  const std::size_t whole = rounded(bytes);
  Piece piece = find_kept(whole);
  if (piece.data == nullptr) {
    piece = map_piece(whole);
    is_zero_ = kMapsZeros;
  }
  data_ = piece.data;
  bytes_ = piece.bytes;
}

KeptMemory::~KeptMemory() {
  if (data_ == nullptr) return;
  if (bytes_ < kLeastKept) {
    ::operator delete(data_, kSmallAlignment);
  } else {
    keep({data_, bytes_});
  }
}

KeptMemory::KeptMemory(KeptMemory&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), bytes_(other.bytes_), is_zero_(other.is_zero_) {}

KeptMemory& KeptMemory::operator=(KeptMemory&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  std::swap(is_zero_, other.is_zero_);
  return *this;
}

std::size_t release_kept_memory() {
  const std::unique_lock lock(shelf.mutex, std::try_to_lock);
  if (!lock) return 0;
  const std::size_t bytes = shelf.bytes();
  while (shelf.count > 0) unmap(shelf.remove(0));
  return bytes;
}

}  // namespace lcx

#pragma once

#include <cstdint>

namespace lcx {

// Note [Rows ahead]
// The processor sees by itself that long rows are read one after another, but not that a tile's next row begins
// somewhere else. So a tile's rows are asked for ahead: far enough for memory to answer, near enough to be still in the
// cache.
inline constexpr std::int64_t kRowsAhead = 8;

/// Asks for a row of an array, every line of it, to be brought into the second-level cache.
template <typename T>
void prefetch_row(const T* row, std::int64_t count) {
  if (count <= 0) return;
  constexpr int kSecondLevel = 2;
  constexpr std::int64_t kLine = 64;
  const auto* first = reinterpret_cast<const char*>(row);
  const auto* last = reinterpret_cast<const char*>(row + count) - 1;
  for (; first < last; first += kLine) __builtin_prefetch(first, 0, kSecondLevel);
  __builtin_prefetch(last, 0, kSecondLevel);  // a row that begins within a line ends in one more
}

}  // namespace lcx

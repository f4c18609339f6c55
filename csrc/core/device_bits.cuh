#pragma once

// A mask on the device: one bit per pixel, and what follows from it without a label image.

#include <cstdint>

#include "core/gpu_compat.cuh"
#include "core/host_device.hpp"

namespace lcx {

// Note [Device bits]
// Pixel x of a row is bit x % 32 of word x / 32; bits past the width are 0. A mask of 4096 x 3328 pixels is 1.7 MB and
// stays in the second-level cache, so after the one pass that makes it nothing touches main memory for each pixel.
//
// Runs (Note [Runs]) are the nodes of union-find. Two runs of a row begin at least two pixels apart, so the run that
// begins at bit b of word w is node 16 * w + b / 2: nodes are in raster order, no list of runs is needed, and a root,
// the least node of its component, is its first pixel. Only nodes where a run begins are ever touched.
//
// `carries[w]` is the column where the run that reaches into word w begins, so that a run's start is found in one step.

struct DeviceBits {
  std::uint32_t* words = nullptr;
  std::int32_t height = 0;
  std::int32_t width = 0;
  std::int32_t row_words = 0;  ///< ceil(width / 32)

  LCX_HOST_DEVICE std::int64_t word_count() const { return static_cast<std::int64_t>(height) * row_words; }
  LCX_HOST_DEVICE std::int64_t node_count() const { return 16 * word_count(); }
};

/// The 32 bits of a word, with those of the words beside it.
struct WordWithNeighbours {
  std::uint32_t before;
  std::uint32_t bits;
  std::uint32_t after;

  /// Bit x is pixel x - 1.
  __device__ std::uint32_t from_left() const { return __funnelshift_l(before, bits, 1); }
  /// Bit x is pixel x + 1.
  __device__ std::uint32_t from_right() const { return __funnelshift_r(bits, after, 1); }
};

__device__ inline WordWithNeighbours load_word(const DeviceBits& image, std::int32_t y, std::int32_t column) {
  if (y < 0 || y >= image.height) return {0, 0, 0};
  const std::uint32_t* row = image.words + static_cast<std::int64_t>(y) * image.row_words;
  return {column > 0 ? row[column - 1] : 0, row[column], column + 1 < image.row_words ? row[column + 1] : 0};
}

/// Bits [0, count) of a word.
LCX_HOST_DEVICE inline std::uint32_t low_bits(int count) { return count >= 32 ? ~0U : (1U << count) - 1U; }

/// The bits of a word that lie inside the width.
LCX_HOST_DEVICE inline std::uint32_t inside_bits(std::int32_t width, std::int32_t column) {
  return low_bits(width - 32 * column);
}

/// Column where the run that holds set bit `bit` of word `column` begins.
__device__ inline std::int32_t run_begin(std::uint32_t bits, std::int32_t column, int bit, std::int32_t carry) {
  const std::uint32_t zeros_below = ~bits & low_bits(bit);
  return zeros_below ? 32 * column + 32 - __clz(static_cast<int>(zeros_below)) : carry;
}

/// The node of a run; see Note [Device bits].
LCX_HOST_DEVICE inline std::int32_t run_node(const DeviceBits& image, std::int32_t y, std::int32_t begin) {
  return (y * image.row_words + (begin >> 5)) * 16 + ((begin & 31) >> 1);
}

/// Row and first column of the run that is `node`.
__device__ inline std::int32_t node_row(const DeviceBits& image, std::int32_t node) {
  return (node >> 4) / image.row_words;
}
__device__ inline std::int32_t node_column(const DeviceBits& image, std::int32_t node) {
  const std::int32_t word = node >> 4;
  // A node stands for two bits, of which just one begins a run: the second only if the first is 0.
  const int even = (node & 15) * 2;
  return word % image.row_words * 32 + even + (image.words[word] >> even & 1U ? 0 : 1);
}

}  // namespace lcx

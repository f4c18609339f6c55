#pragma once

// Connected components of a mask on the device: the steps that operations put together. Each `enqueue_...` puts kernels
// on a stream and returns; none allocates or waits.

#include "core/cuda_support.cuh"
#include "core/device_bits.cuh"
#include "core/run_mask.hpp"
#include "core/tensor_view.hpp"

namespace lcx {

/// Components of a DeviceBits; see Note [Device bits].
struct DeviceComponents {
  DeviceBits bits;
  std::int32_t* carries = nullptr;  ///< [words]
  std::int32_t* parents = nullptr;  ///< [nodes]: after enqueue_components, of each run's node its component's root
  /// What is found out about components, kept with their roots, or null; enqueue_components begins at 0. Clearing the
  /// runs' own entries takes no launch and touches a fraction of the memory.
  std::uint8_t* flags = nullptr;  ///< [nodes]
  std::int32_t* areas = nullptr;  ///< [nodes] pixels
};

/// Memory for a mask of this shape. Throws Error(kInvalidArgument) if it has 2^31 nodes or more (2^32 pixels).
DeviceBits take_bits(Workspace& workspace, std::int64_t height, std::int64_t width);
DeviceComponents take_components(Workspace& workspace, DeviceBits bits);
std::uint8_t* take_flags(Workspace& workspace, DeviceBits bits);
std::int32_t* take_areas(Workspace& workspace, DeviceBits bits);

/// Bits of the nonzero pixels. Reads H * W bytes, writes H * W / 8.
void enqueue_nonzero_bits(TensorView<const std::uint8_t, 2> mask, DeviceBits bits, Stream stream);

/// Bits of the pixels >= low and, unless `high_bits` is empty, of those >= high (NaN is below both). Reads 4 * H * W
/// bytes, writes H * W / 8 for each.
void enqueue_threshold_bits(TensorView<const float, 2> map, float low, float high, DeviceBits low_bits,
                            DeviceBits high_bits, Stream stream);

/// The other bits inside the width.
void enqueue_complement(DeviceBits from, DeviceBits to, Stream stream);

/// Fills in carries and parents, and clears flags and areas.
void enqueue_components(const DeviceComponents& components, Connectivity connectivity, Stream stream);

/// Numbers components 1, 2, ... by their first pixel, in raster order.
struct DeviceNumbers {
  std::int32_t* numbers = nullptr;  ///< [nodes]: of each root, its number; 0 where it is too small
  std::int32_t* count = nullptr;    ///< [1]
  std::int32_t* block_sums = nullptr;
};
DeviceNumbers take_numbers(Workspace& workspace, DeviceBits bits);

/// Every component is numbered whose area is known and at least `min_area`, or not known.
void enqueue_numbers(const DeviceComponents& components, std::int64_t min_area, const DeviceNumbers& numbers,
                     Stream stream);

/// Replaces `sums` [count] by their exclusive prefix sums, and `total` [1] by their sum. One block: for the sums of
/// blocks, not for pixels.
void enqueue_exclusive_scan(std::int32_t* sums, std::int32_t count, std::int32_t* total, Stream stream);

/// The same for as many as there are words. `scratch` holds scan_scratch(count).
void enqueue_long_scan(std::int32_t* values, std::int64_t count, std::int32_t* scratch, std::int32_t* total,
                       Stream stream);
inline std::int64_t scan_scratch(std::int64_t count) { return blocks_for(count).x; }

/// The node of the run that holds set bit `bit` of word `column` in row `y`.
__device__ inline std::int32_t node_at(const DeviceComponents& components, std::int32_t y, std::int32_t column,
                                       std::uint32_t bits, int bit) {
  const std::int64_t word = static_cast<std::int64_t>(y) * components.bits.row_words + column;
  return run_node(components.bits, y, run_begin(bits, column, bit, components.carries[word]));
}

/// The bits of a word that begin runs.
__device__ inline std::uint32_t begin_bits(const WordWithNeighbours& word) { return word.bits & ~word.from_left(); }

/// Calls visit(root) for each root whose first pixel is in a word.
template <typename Visit>
__device__ inline void for_each_root(const DeviceComponents& components, std::int64_t at, const Visit& visit) {
  const DeviceBits& bits = components.bits;
  if (at >= bits.word_count() || bits.words[at] == 0) return;
  const auto y = static_cast<std::int32_t>(at / bits.row_words);
  const auto column = static_cast<std::int32_t>(at % bits.row_words);
  for (std::uint32_t rest = begin_bits(load_word(bits, y, column)); rest; rest &= rest - 1) {
    const auto node = static_cast<std::int32_t>(at * 16 + (__ffs(static_cast<int>(rest)) - 1) / 2);
    if (components.parents[node] == node) visit(node);
  }
}

}  // namespace lcx

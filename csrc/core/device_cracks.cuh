#pragma once

// Boundaries of a mask on the device, each as an ordered list of cracks; see Note [Crack following].

#include "core/device_components.cuh"

namespace lcx {

// Note [Crack lists]
// Following a boundary is one long chain of steps, but all cracks are known at once, and each knows its successor. They
// are counted and numbered by words of the mask; then pointer doubling ranks them: in round k every crack learns what
// lies 2^k steps ahead, so that after log2(n) rounds each knows how far it is from the last crack of its boundary. A
// boundary begins at a given crack (its head), before which the chain is cut.
//
// With a capacity below the number of cracks only the total is of use; the caller sees it and asks again.

/// Where a boundary begins.
enum class CrackHead : std::uint8_t {
  kFirstLeftEdge,  ///< every boundary, at its first left edge in raster order
  kFirstPixel,     ///< outer boundaries of components with a number, at the upper edge of the component's first pixel
};

/// What a crack adds to its boundary's list.
enum class CrackPoint : std::uint8_t {
  kCorner,  ///< one point where the heading changes, none elsewhere
  kEach,    ///< one point
};

struct DeviceCracks {
  DeviceBits bits;
  std::int32_t capacity = 0;
  std::int32_t* offsets = nullptr;       ///< [words] cracks before each word
  std::int32_t* block_sums = nullptr;    ///< scratch
  std::int32_t* total = nullptr;         ///< [1] cracks
  std::uint32_t* pixels = nullptr;       ///< [capacity] 32 * word + bit of the pixel on the right
  std::uint8_t* headings = nullptr;      ///< [capacity]
  std::int32_t* successors = nullptr;    ///< [capacity] of the boundary as it is
  std::int32_t* weights = nullptr;       ///< [capacity] points that it adds
  std::uint32_t* heads = nullptr;        ///< [capacity] pixel of the boundary's head; ~0: it has none
  std::int32_t* jumps[2] = {};           ///< [capacity] two turns of pointer doubling; the first holds the result:
  std::int32_t* sums[2] = {};            ///< the last crack, and the points from a crack to it, that one not counted
  std::uint32_t* leads[2] = {};          ///< scratch of kFirstLeftEdge
  std::int32_t* loop_points = nullptr;   ///< [words] points of the boundaries that begin in a word, then before it
  std::int32_t* loop_numbers = nullptr;  ///< [words] boundaries that begin in a word, then before it
  std::int32_t* point_total = nullptr;   ///< [1]
  std::int32_t* loop_total = nullptr;    ///< [1]
  std::int32_t* starts = nullptr;        ///< [capacity] of a boundary's last crack, its first point
  long long* areas = nullptr;            ///< [capacity] of a boundary's last crack, twice the signed area
};

DeviceCracks take_cracks(Workspace& workspace, DeviceBits bits, std::int32_t capacity);

/// Fills in all but what belongs to boundaries as a whole.
/// components, numbers  for kFirstPixel: of the same bits, or of bits with more components; else unused
void enqueue_cracks(const DeviceCracks& cracks, CrackHead head, CrackPoint point, const DeviceComponents& components,
                    const std::int32_t* numbers, Stream stream);

/// For each boundary, in raster order of their heads: where its points begin and whether it is a hole's.
/// loop_offsets  [loop_capacity + 1]
/// is_hole       [loop_capacity], or null
void enqueue_loops(const DeviceCracks& cracks, CrackHead head, std::int32_t loop_capacity, std::int32_t* loop_offsets,
                   std::uint8_t* is_hole, Stream stream);

__device__ inline int heading_y(int heading) { return (heading == 1) - (heading == 3); }
__device__ inline int heading_x(int heading) { return (heading == 0) - (heading == 2); }

/// The place of crack k's point in the list of all points; -1: it adds none or belongs to no boundary with a head.
__device__ inline std::int32_t point_place(const DeviceCracks& cracks, std::int32_t k) {
  if (cracks.heads[k] == ~0U || cracks.weights[k] == 0) return -1;
  const std::int32_t last = cracks.jumps[0][k];
  const std::int32_t first = cracks.successors[last];
  // Points from a crack to the last one, both counted; the head has them all.
  const std::int32_t all = cracks.sums[0][first] + cracks.weights[last];
  return cracks.starts[last] + all - (cracks.sums[0][k] + cracks.weights[last]);
}

}  // namespace lcx

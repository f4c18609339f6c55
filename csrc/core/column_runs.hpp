#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace lcx {

// Note [Column runs]
// COCO numbers the pixels of a mask down its columns, pixel (y, x) being x * height + y, and stores a mask as the
// lengths of alternating stretches of background and foreground, background first. Here such a mask is held by the
// stretches' ends instead: foreground is [edges[0], edges[1]), [edges[2], edges[3]), ..., strictly ascending. Two
// masks are then compared by walking two sorted lists, from any place a binary search finds, with nothing to sum up.

/// A borrowed mask; see Note [Column runs].
struct ColumnRunsView {
  std::int64_t height = 0;
  std::int64_t width = 0;
  std::span<const std::uint32_t> edges;
};

/// A binary mask as foreground stretches down its columns; see Note [Column runs].
struct ColumnRuns {
  std::int64_t height = 0;
  std::int64_t width = 0;
  std::vector<std::uint32_t> edges;  ///< even in number

  operator ColumnRunsView() const { return {height, width, edges}; }
  friend bool operator==(const ColumnRuns&, const ColumnRuns&) = default;
};

/// Half-open bounding box; all 0 for an empty mask.
struct PixelBox {
  std::int64_t y0 = 0, x0 = 0, y1 = 0, x1 = 0;
};

enum class MergeMode : std::uint8_t { kUnion, kIntersection };

/// Throws Error(kInvalidArgument) unless both sides are at least 0 and the mask has at most 2^32 - 1 pixels.
void check_mask_shape(std::int64_t height, std::int64_t width);

/// Appends foreground [begin, end) behind what `edges` holds (begin at or after its end); joins stretches that touch.
inline void append_run(std::vector<std::uint32_t>& edges, std::size_t first, std::uint32_t begin, std::uint32_t end) {
  if (begin == end) return;
  if (edges.size() > first && edges.back() == begin) {
    edges.back() = end;
  } else {
    edges.push_back(begin);
    edges.push_back(end);
  }
}

// Appending to an arena, so that thousands of masks need no allocation each ----------------------------------------

/// Appends the mask of COCO's counts to `edges`. Throws Error(kInvalidArgument) unless they sum to height * width.
void append_counts(std::span<const std::uint32_t> counts, std::int64_t height, std::int64_t width,
                   std::vector<std::uint32_t>& edges);

/// Appends the mask of COCO's compressed string to `edges`: six bits a character from '0' on, five of value and one
/// that says that more follow, least significant first; from the fourth count on, the difference to the last but one.
/// Throws Error(kInvalidArgument) for characters outside '0' .. 'o', a count cut short, below 0 or too large, or
/// counts that do not sum to height * width.
void append_string(std::string_view text, std::int64_t height, std::int64_t width, std::vector<std::uint32_t>& edges);

/// Appends the mask of one polygon to `edges`, to the pixel as COCO's own tools draw it; see Note [COCO polygons].
///
/// xy  x0, y0, x1, y1, ...; pixel (i, j) covers [i, i + 1) x [j, j + 1)
/// Throws Error(kInvalidArgument) for a coordinate that is not finite or beyond 10^8, or more than 2^26 crossings.
void append_polygon(std::span<const double> xy, std::int64_t height, std::int64_t width,
                    std::vector<std::uint32_t>& edges);

// Whole masks -------------------------------------------------------------------------------------------------------

std::vector<std::uint32_t> to_counts(ColumnRunsView mask);
std::string to_string(ColumnRunsView mask);
std::int64_t area(ColumnRunsView mask);
PixelBox bounding_box(ColumnRunsView mask);

/// Pixels in both masks, which are of one shape; `columns` = [begin, end), outside of which the masks do not meet.
std::int64_t intersection_area(ColumnRunsView a, ColumnRunsView b, std::array<std::int64_t, 2> columns);

/// Union or intersection of masks of one shape. Throws Error(kInvalidArgument) if shapes differ or there is none.
ColumnRuns merge(std::span<const ColumnRunsView> masks, MergeMode mode);

}  // namespace lcx

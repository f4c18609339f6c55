#pragma once

#include <array>
#include <cstdint>

#include "core/run_mask.hpp"

namespace lcx {

// Note [Coordinates]
// Points are (y, x) with pixel (i, j) covering [i, i + 1) x [j, j + 1), so its centre is (i + 0.5, j + 0.5)
// and scaling a grid is a plain multiplication.

// Note [Crack following]
// A boundary is followed along the cracks between foreground and background pixels, foreground on the right
// hand (clockwise on screen round a component, counter-clockwise round a hole). At a corner the follower
// turns left if it can, which keeps diagonal neighbours together: 8-connected foreground, 4-connected
// background.

/// One step along a boundary: the foreground pixel on the right, and the heading (0 east, 1 south, 2 west, 3
/// north).
struct Crack {
  std::int64_t y;
  std::int64_t x;
  int heading;
};

/// (dy, dx) of each heading; the background pixel lies to its left, that is one heading back.
inline constexpr std::array<std::array<int, 2>, 4> kHeadings{{{0, 1}, {1, 0}, {0, -1}, {-1, 0}}};

/// Follows the boundary that contains `start`, calling visit(crack) for each crack from it, once round.
/// mask.test(y, x), for any y and x, says whether a pixel is foreground.
template <typename Mask, typename Visit>
void follow_boundary(const Mask& mask, Crack start, const Visit& visit) {
  Crack at = start;
  do {
    visit(at);
    const auto& ahead = kHeadings[static_cast<std::size_t>(at.heading)];
    const auto& left = kHeadings[static_cast<std::size_t>((at.heading + 3) & 3)];
    if (mask.test(at.y + ahead[0] + left[0], at.x + ahead[1] + left[1])) {
      at = {at.y + ahead[0] + left[0], at.x + ahead[1] + left[1], (at.heading + 3) & 3};
    } else if (mask.test(at.y + ahead[0], at.x + ahead[1])) {
      at = {at.y + ahead[0], at.x + ahead[1], at.heading};
    } else {
      at = {at.y, at.x, (at.heading + 1) & 3};
    }
  } while (at.y != start.y || at.x != start.x || at.heading != start.heading);
}

/// Polygons one behind another: polygon k is points[offsets[k]] .. points[offsets[k + 1]], each (y, x), not
/// closed.
template <typename T>
struct Polygons {
  std::vector<std::array<T, 2>> points;
  std::vector<std::int64_t> offsets{0};

  void end_polygon() { offsets.push_back(static_cast<std::int64_t>(points.size())); }
};

}  // namespace lcx

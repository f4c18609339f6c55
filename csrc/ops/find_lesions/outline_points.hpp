#pragma once

#include <array>
#include <cstdint>

namespace lcx {

/// Cracks of an outline on their way to points; see Note [Crack following]. A list for each of their properties, so
/// that points are worked out several at a time.
struct CrackBlock {
  static constexpr std::int32_t kRoom = 256;

  std::int32_t count = 0;
  std::array<std::int32_t, kRoom> y, x;    ///< the foreground pixel
  std::array<std::int32_t, kRoom> dy, dx;  ///< from there to the background pixel
  std::array<float, kRoom> inner, outer;   ///< the map's values of both; NaN outside the image

  bool is_full() const { return count == kRoom; }
};

/// One point for each crack: where between the centres of its two pixels the map crosses `level`.
///
/// points  room for block.count of them
void place_points(const CrackBlock& block, float level, std::array<double, 2>* points);

}  // namespace lcx

#pragma once

#include "core/host_device.hpp"

namespace lcx {

/// How far from one pixel's centre to its neighbour's the map, interpolated linearly, equals `level`: 0 to 1, or half
/// where that has no meaning.
LCX_HOST_DEVICE inline double crossing_part(float inner, float outer, float level) {
  const double ratio = (static_cast<double>(inner) - static_cast<double>(level)) /
                       (static_cast<double>(inner) - static_cast<double>(outer));
  if (!(ratio - ratio == 0.0)) return 0.5;  // infinite or not a number
  return ratio < 0.0 ? 0.0 : ratio > 1.0 ? 1.0 : ratio;
}

}  // namespace lcx

#pragma once

#include "core/host_device.hpp"

namespace lcx {

/// How far from one pixel's centre to its neighbour's the map, interpolated linearly, equals `level`: 0 to 1, or half
/// where that has no meaning.
LCX_HOST_DEVICE inline double crossing_part(float inner, float outer, float level) {
  const double ratio = (static_cast<double>(inner) - static_cast<double>(level)) /
                       (static_cast<double>(inner) - static_cast<double>(outer));
  const bool is_finite = ratio - ratio == 0.0;
  const double from_zero = ratio < 0.0 ? 0.0 : ratio;
  const double part = from_zero > 1.0 ? 1.0 : from_zero;
  return is_finite ? part : 0.5;
}

}  // namespace lcx

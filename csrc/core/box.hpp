#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

#include "core/host_device.hpp"

namespace lcx {

/// An axis-parallel box, its area worked out beforehand.
template <typename T>
struct Box {
  T x0, y0, x1, y1, area;

  static LCX_HOST_DEVICE Box nothing() {
    constexpr T kFar = std::numeric_limits<T>::max();
    return {kFar, kFar, -kFar, -kFar, 0};
  }
  static LCX_HOST_DEVICE Box from_corners(T x0, T y0, T x1, T y1) {
    const Box box{x0, y0, x1, y1, (x1 - x0) * (y1 - y0)};
    return box.is_finite() ? box : nothing();
  }
  static LCX_HOST_DEVICE Box from_sides(T x, T y, T width, T height) {
    const Box box{x, y, width + x, height + y, width * height};
    return box.is_finite() ? box : nothing();
  }

  // A sum is not finite if one of its parts is not (or if it overflows, where nothing exact can be said either).
  LCX_HOST_DEVICE bool is_finite() const {
    const T sum = (x0 - x0) + (y0 - y0) + (x1 - x1) + (y1 - y1) + (area - area);
    return sum == 0;
  }
};

/// Intersection over union, or over `a`'s area where `b` is a crowd. The order of operations is that of COCO's tools.
template <typename T>
LCX_HOST_DEVICE inline T overlap(const Box<T>& a, const Box<T>& b, bool b_is_crowd) {
  const T width = (a.x1 < b.x1 ? a.x1 : b.x1) - (a.x0 > b.x0 ? a.x0 : b.x0);
  const T height = (a.y1 < b.y1 ? a.y1 : b.y1) - (a.y0 > b.y0 ? a.y0 : b.y0);
  if (!(width > 0 && height > 0)) return 0;
  const T both = width * height;
  return both / (b_is_crowd ? a.area : a.area + b.area - both);
}

}  // namespace lcx

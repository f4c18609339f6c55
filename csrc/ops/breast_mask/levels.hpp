#pragma once

#include <cstdint>
#include <vector>

#include "core/tensor_view.hpp"
#include "ops/breast_mask/breast_mask_impl.hpp"

namespace lcx::cpu {

using LevelsView = TensorView<const std::uint16_t, 2>;

/// Half-open, in pixels.
struct Rectangle {
  std::int64_t y0, y1, x0, x1;
  std::int64_t height() const { return y1 - y0; }
  std::int64_t width() const { return x1 - x0; }
};

/// Grey levels of an image [H, W], row-major; all 0 for an image without contrast.
///
/// The one step on floating point: value -> floor((value - low) * (65535 / (high - low))) in double, low and
/// high the least and greatest finite value; then by an integer factor to kLevels at the 99th percentile.
std::vector<std::uint16_t> quantise(TensorView<const float, 2> image);

/// The levels within black and white frames, and where that is; empty if all is black. Peels off, in this
/// order, black rows and columns (2 % of their pixels may be bright), white bands, and black ones again.
LevelsView without_frames(LevelsView levels, Rectangle& area);

}  // namespace lcx::cpu

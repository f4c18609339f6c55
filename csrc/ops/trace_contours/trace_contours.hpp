#pragma once

#include <cstdint>
#include <vector>

#include "core/tensor_view.hpp"
#include "core/trace.hpp"

namespace lcx {

/// Outlines of a mask, exact: each runs along pixel edges, corners only (see Note [Coordinates]).
struct Contours {
  Polygons<std::int32_t> polygons;
  std::vector<std::uint8_t> is_hole;  ///< per polygon; outer outlines run clockwise on screen, holes the other way
};

/// Traces the outer outlines and holes of the 8-connected components of a mask, in raster order of their
/// first left edge. Filling the polygons by the even-odd rule gives the mask back.
///
/// mask  [H, W] uint8, nonzero = foreground
Contours trace_contours(TensorView<const std::uint8_t, 2> mask, int threads = 0);

namespace cpu {
Contours trace_contours(TensorView<const std::uint8_t, 2> mask, int threads);
}  // namespace cpu

namespace cuda {
Contours trace_contours(TensorView<const std::uint8_t, 2> mask);
}  // namespace cuda

}  // namespace lcx

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
/// mask    [H, W] uint8, nonzero = foreground
/// stream  for arrays on a GPU; waited for once, twice where there are more than 2^14 pixel edges
Contours trace_contours(TensorView<const std::uint8_t, 2> mask, int threads = 0, Stream stream = {});

namespace cpu {
Contours trace_contours(TensorView<const std::uint8_t, 2> mask, int threads);
}  // namespace cpu

namespace cuda {
Contours trace_contours(TensorView<const std::uint8_t, 2> mask, Stream stream);
}  // namespace cuda

}  // namespace lcx

#pragma once

#include <cstdint>

#include "core/run_mask.hpp"
#include "core/tensor_view.hpp"

namespace lcx {

/// The pixels whose centre lies inside a set of polygons, by the even-odd rule.
///
/// points   [P, 2] float64, (y, x), finite; see Note [Coordinates]
/// offsets  [K + 1] int64: polygon k is points offsets[k] .. offsets[k + 1], not closed
/// height, width  of the image; what lies outside is cut off
/// A centre exactly on an edge counts as inside on the left and top edges only, so that neighbours never
/// overlap. Throws Error(kInvalidArgument) for offsets that do not ascend from 0 to P, points not finite, or
/// sides below 0.
RunMask fill_polygons(TensorView<const double, 2> points, TensorView<const std::int64_t, 1> offsets,
                      std::int64_t height, std::int64_t width);

namespace cpu {
RunMask fill_polygons(TensorView<const double, 2> points, TensorView<const std::int64_t, 1> offsets,
                      std::int64_t height, std::int64_t width);
}  // namespace cpu

}  // namespace lcx

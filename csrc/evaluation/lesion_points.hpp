#pragma once

#include <cstdint>
#include <vector>

#include "core/tensor_view.hpp"

namespace lcx {

/// An image's points, best first, and the reference lesions they lie in.
struct LesionPoints {
  std::vector<double> scores;        ///< [D], descending; equal ones in the order given, NaN last
  std::vector<std::int32_t> lesion;  ///< [D], index of the lesion under the point, -1 for none
  std::vector<std::int64_t> areas;   ///< [G], pixels of each lesion, in order of the lesions' numbers
};

/// Looks up points in a label map and measures its lesions, in one reading of the map.
///
/// points  [D, 2] (y, x) in pixels, pixel (i, j) covering [i, i + 1) x [j, j + 1); outside of the map, or NaN: no
/// lesion scores  [D] labels  [H, W] integers; a lesion is a number above 0, numbers may have gaps Throws
/// Error(kInvalidArgument) if D differs or there are more than 2^31 - 1 lesions.
template <typename Label>
LesionPoints compare_points(TensorView<const double, 2> points, TensorView<const double, 1> scores,
                            TensorView<const Label, 2> labels);

}  // namespace lcx

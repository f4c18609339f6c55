#pragma once

#include <cstdint>
#include <span>
#include <variant>
#include <vector>

#include "core/tensor_view.hpp"

namespace lcx {

/// The reference lesions of an image, [H, W]: each number above 0 is one; numbers may have gaps.
using LabelMap = std::variant<TensorView<const std::int8_t, 2>, TensorView<const std::uint8_t, 2>,
                              TensorView<const std::int16_t, 2>, TensorView<const std::uint16_t, 2>,
                              TensorView<const std::int32_t, 2>, TensorView<const std::uint32_t, 2>,
                              TensorView<const std::int64_t, 2>, TensorView<const std::uint64_t, 2>>;

/// One image's points, best first, and the reference lesions they lie in.
struct LesionPoints {
  std::vector<double> scores;        ///< [D], descending; equal ones in the order given, NaN last
  std::vector<std::int64_t> lesion;  ///< [D], index of the lesion under the point, -1 for none
  std::vector<std::int64_t> areas;   ///< [G], pixels of each lesion, in order of the lesions' numbers
};

/// Looks up points in label maps and measures the lesions, in one reading of each map.
///
/// points   [N, 2] (y, x) in pixels, pixel (i, j) covering [i, i + 1) x [j, j + 1); image by image; outside of its map,
/// or
///          NaN: in no lesion
/// scores   [N]
/// counts   [I], points of each image; they add up to N
/// labels   I maps
/// threads  most threads to use; 0 = all
/// Throws Error(kInvalidArgument) if N or I differ.
std::vector<LesionPoints> compare_points(TensorView<const double, 2> points, TensorView<const double, 1> scores,
                                         std::span<const std::int64_t> counts, std::span<const LabelMap> labels,
                                         int threads);

}  // namespace lcx

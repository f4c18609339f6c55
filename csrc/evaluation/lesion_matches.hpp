#pragma once

#include <cstdint>
#include <span>
#include <variant>
#include <vector>

#include "core/tensor_view.hpp"

namespace lcx {

/// Overlap of D detections, best first, with G lesions; flags count as 0 and 1.
using OverlapTable = std::variant<TensorView<const double, 2>, TensorView<const std::uint8_t, 2>>;

/// All detections of all images, one image after another.
struct LesionMatches {
  std::vector<std::int64_t> lesion;   ///< [N], taken by the detection, counted through all images; -1 for none
  std::vector<std::uint8_t> reached;  ///< [N], 1 where it overlaps any lesion by the minimum, taken or not
};

/// Gives each detection the free lesion of its image that it overlaps most, if by at least `minimum`; of equal ones the
/// last. See Note [Greedy matching].
LesionMatches match_lesions(std::span<const OverlapTable> images, double minimum);

}  // namespace lcx

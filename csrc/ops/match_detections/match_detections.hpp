#pragma once

#include <cstdint>
#include <span>

#include "core/tensor_view.hpp"

namespace lcx {

/// Where the result goes: T thresholds, D detections, G references; -1 = unmatched.
struct MatchTables {
  TensorView<std::int32_t, 2> detection_to_reference;  ///< [T, D] dense
  TensorView<std::int32_t, 2> reference_to_detection;  ///< [T, G] dense; the last one for a crowd taken several times
  TensorView<std::uint8_t, 2> detection_ignored;       ///< [T, D] dense; 1 = matched to an ignored reference
};

/// Matches detections to references greedily, as COCO does; see Note [Greedy matching].
///
/// iou         [D, G] float32 or float64, detections by descending score (ties in the caller's order); NaN = no overlap
/// thresholds  [T], finite, in the CPU's memory, any order; above 1 - 1e-10 they count as that. A pair may match if its
///             overlap is at least the threshold.
/// ignore      [G] uint8, or empty: none. Ignored references are taken after all others.
/// crowd       [G] uint8, or empty: none. A crowd may be taken by several detections.
/// stream      for arrays on a GPU
/// Throws Error(kInvalidArgument) if shapes or devices do not fit or a threshold is not finite.
template <typename T>
void match_detections(TensorView<const T, 2> iou, std::span<const double> thresholds,
                      TensorView<const std::uint8_t, 1> ignore, TensorView<const std::uint8_t, 1> crowd,
                      const MatchTables& tables, Stream stream = {});

namespace cpu {
template <typename T>
void match_detections(TensorView<const T, 2> iou, std::span<const double> thresholds,
                      TensorView<const std::uint8_t, 1> ignore, TensorView<const std::uint8_t, 1> crowd,
                      const MatchTables& tables);
}  // namespace cpu

namespace cuda {
template <typename T>
void match_detections(TensorView<const T, 2> iou, std::span<const double> thresholds,
                      TensorView<const std::uint8_t, 1> ignore, TensorView<const std::uint8_t, 1> crowd,
                      const MatchTables& tables, Stream stream);
}  // namespace cuda

}  // namespace lcx

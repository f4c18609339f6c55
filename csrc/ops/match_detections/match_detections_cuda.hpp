#pragma once

#include "ops/match_detections/match_detections.hpp"

namespace lcx::cuda {

/// lcx::match_detections put on the stream: allocates nothing, waits for nothing.
///
/// thresholds  [T] on the device, dense; each at most kStrictestThreshold (core/greedy_matching.hpp)
template <typename T>
void enqueue_match_detections(TensorView<const T, 2> iou, TensorView<const double, 1> thresholds,
                              TensorView<const std::uint8_t, 1> ignore, TensorView<const std::uint8_t, 1> crowd,
                              const MatchTables& tables, Stream stream);

}  // namespace lcx::cuda

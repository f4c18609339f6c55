#pragma once

#include <cstdint>

#include "core/host_device.hpp"

namespace lcx {

/// Overlap of two masks from their counts; see mask_iou.
LCX_HOST_DEVICE inline double overlap_of_counts(std::int64_t both, std::int64_t predicted, std::int64_t reference,
                                                bool crowd) {
  if (both == 0) return 0;
  const std::int64_t area = crowd ? predicted : predicted + reference - both;
  return static_cast<double>(both) / static_cast<double>(area);
}

}  // namespace lcx

#pragma once

#include <cstddef>

#include "core/workspace.hpp"
#include "ops/mask_iou/mask_iou.hpp"

namespace lcx::cuda {

std::size_t mask_iou_workspace_bytes(std::int64_t detections, std::int64_t references, std::int64_t pixels);

/// lcx::mask_iou put on the stream: allocates nothing, waits for nothing. `iou` is not empty.
void enqueue_mask_iou(TensorView<const std::uint8_t, 2> predicted, TensorView<const std::uint8_t, 2> reference,
                      TensorView<const std::uint8_t, 1> crowd, TensorView<double, 2> iou, Workspace& workspace,
                      Stream stream);

}  // namespace lcx::cuda

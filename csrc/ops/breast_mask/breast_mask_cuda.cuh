#pragma once

#include <cstddef>

#include "core/workspace.hpp"
#include "ops/breast_mask/breast_mask.hpp"

namespace lcx::cuda {

std::size_t breast_mask_workspace_bytes(std::int64_t height, std::int64_t width);

/// lcx::breast_mask put on the stream: allocates nothing, waits for nothing. Neither image nor mask may be empty.
void enqueue_breast_mask(TensorView<const float, 2> image, TensorView<std::uint8_t, 2> mask, Workspace& workspace,
                         Stream stream);

}  // namespace lcx::cuda

#pragma once

#include "core/workspace.hpp"
#include "ops/remove_small/remove_small.hpp"

namespace lcx::cuda {

/// Workspace that enqueue_remove_small takes for a mask of this shape.
std::size_t remove_small_workspace_bytes(std::int64_t height, std::int64_t width);

/// lcx::remove_small put on the stream: allocates nothing, waits for nothing.
void enqueue_remove_small(TensorView<const std::uint8_t, 2> mask, std::int64_t min_area, Connectivity connectivity,
                          TensorView<std::uint8_t, 2> kept, Workspace& workspace, Stream stream);

}  // namespace lcx::cuda

#pragma once

#include "core/workspace.hpp"
#include "ops/fill_holes/fill_holes.hpp"

namespace lcx::cuda {

/// Workspace that enqueue_fill_holes takes for a mask of this shape.
std::size_t fill_holes_workspace_bytes(std::int64_t height, std::int64_t width);

/// lcx::fill_holes put on the stream: allocates nothing, waits for nothing.
void enqueue_fill_holes(TensorView<const std::uint8_t, 2> mask, TensorView<std::uint8_t, 2> filled,
                        Workspace& workspace, Stream stream);

}  // namespace lcx::cuda

#pragma once

#include "core/workspace.hpp"
#include "ops/hysteresis/hysteresis.hpp"

namespace lcx::cuda {

/// Workspace that enqueue_hysteresis takes for values of this shape.
std::size_t hysteresis_workspace_bytes(std::int64_t height, std::int64_t width);

/// lcx::hysteresis put on the stream: allocates nothing, waits for nothing.
void enqueue_hysteresis(TensorView<const float, 2> values, float low, float high, Connectivity connectivity,
                        TensorView<std::uint8_t, 2> mask, Workspace& workspace, Stream stream);

}  // namespace lcx::cuda

#pragma once

#include "core/workspace.hpp"
#include "ops/label_components/label_components.hpp"

namespace lcx::cuda {

/// Workspace that enqueue_label_components takes for a mask of this shape.
std::size_t label_components_workspace_bytes(std::int64_t height, std::int64_t width);

/// lcx::label_components put on the stream: allocates nothing, waits for nothing.
/// Returns where the number of components will be, [1] on the device.
const std::int32_t* enqueue_label_components(TensorView<const std::uint8_t, 2> mask, Connectivity connectivity,
                                             TensorView<std::int32_t, 2> labels, Workspace& workspace, Stream stream);

}  // namespace lcx::cuda

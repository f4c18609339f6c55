#pragma once

#include <cstddef>
#include <cstdint>

#include "core/workspace.hpp"
#include "ops/region_props/region_props.hpp"

namespace lcx::cuda {

/// Where the results of enqueue_region_props are: one stretch of device memory, to be downloaded as it is.
struct DeviceProps {
  const void* data = nullptr;
  std::size_t bytes = 0;
  std::int32_t count = 0;
  bool has_values = false;
};

std::size_t region_props_workspace_bytes(std::int32_t count, bool has_values);

/// lcx::region_props put on the stream: allocates nothing, waits for nothing.
DeviceProps enqueue_region_props(TensorView<const std::int32_t, 2> labels, TensorView<const float, 2> values,
                                 std::int32_t count, Workspace& workspace, Stream stream);

/// The measurements, from a copy of `data` on the host, aligned as a double is. Throws Error(kInvalidArgument) if a
/// label was out of range.
RegionProps props_on_host(const DeviceProps& props, const void* host);

}  // namespace lcx::cuda

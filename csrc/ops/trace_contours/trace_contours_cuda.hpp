#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "core/workspace.hpp"
#include "ops/trace_contours/trace_contours.hpp"

namespace lcx::cuda {

/// Where the results of enqueue_trace_contours are: one stretch of device memory, to be downloaded as it is.
struct DeviceContours {
  const void* data = nullptr;
  std::size_t bytes = 0;
  std::int32_t edges = 0;  ///< pixel edges there was room for
};

/// edges  room for so many pixel edges on boundaries
std::size_t trace_contours_workspace_bytes(std::int64_t height, std::int64_t width, std::int32_t edges);

/// lcx::trace_contours put on the stream: allocates nothing, waits for nothing. Points are compacted on the device,
/// those of one outline behind each other.
DeviceContours enqueue_trace_contours(TensorView<const std::uint8_t, 2> mask, std::int32_t edges, Workspace& workspace,
                                      Stream stream);

/// The outlines, from a copy of `data` on the host; nothing if there are more edges than there was room for. Then
/// `needed` is their number.
std::optional<Contours> contours_on_host(const DeviceContours& contours, const void* host, std::int32_t& needed);

}  // namespace lcx::cuda

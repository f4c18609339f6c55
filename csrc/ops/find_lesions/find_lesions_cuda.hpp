#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "core/workspace.hpp"
#include "ops/find_lesions/find_lesions.hpp"

namespace lcx {
class Branch;  // core/branch.cuh
}  // namespace lcx

namespace lcx::cuda {

/// Room for results, which a captured graph has to settle beforehand.
struct LesionCapacity {
  std::int32_t lesions = 1 << 9;
  std::int32_t edges = 1 << 14;  ///< pixel edges on the boundaries of all lesions, holes included: outline points

  friend bool operator==(const LesionCapacity&, const LesionCapacity&) = default;
};

/// Where the results of enqueue_find_lesions are: one stretch of device memory, to be downloaded as it is.
struct DeviceLesions {
  const void* data = nullptr;
  std::size_t bytes = 0;
  LesionCapacity capacity;
};

std::size_t find_lesions_workspace_bytes(std::int64_t height, std::int64_t width, LesionCapacity capacity);
/// At least DeviceLesions::bytes.
std::size_t lesion_result_bytes(LesionCapacity capacity);

/// lcx::find_lesions put on the stream: allocates nothing, waits for nothing.
///
/// beside  where lesions are measured while their outlines are followed; null: one after the other
DeviceLesions enqueue_find_lesions(TensorView<const float, 2> map, const LesionOptions& options,
                                   LesionCapacity capacity, Workspace& workspace, Stream stream,
                                   const Branch* beside = nullptr);

/// The lesions, from a copy of `data` on the host; nothing if they did not fit. Then `needed` is what they need.
std::optional<Lesions> lesions_on_host(const DeviceLesions& lesions, const void* host, LesionCapacity& needed);

}  // namespace lcx::cuda

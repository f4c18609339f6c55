#pragma once

#include "core/device_grid.cuh"
#include "ops/extract_tiles/extract_tiles.hpp"

namespace lcx::cuda {

/// lcx::extract_tiles put on the stream, for tiles first .. first + tiles.shape[0] - 1 of the grid; allocates nothing,
/// waits for nothing. A tile past the last one is left as it is.
template <typename T>
void enqueue_extract_tiles(TensorView<const T, 2> image, const DeviceGrid& grid,
                           const std::optional<Normalisation>& normalisation, TensorView<const std::uint8_t, 2> mask,
                           std::int32_t first, TensorView<float, 4> tiles, Stream stream);

}  // namespace lcx::cuda

#pragma once

#include <vector>

#include "core/device_grid.cuh"
#include "ops/blend_tiles/blend_tiles.hpp"

namespace lcx::cuda {

/// [th + tw]: the weights of a tile's rows and columns, to be put in device memory.
std::vector<float> blend_weights(const TileGrid& grid, TileWeights weights);

/// lcx::blend_tiles put on the stream; allocates nothing, waits for nothing.
/// weights  [th + tw] on the device, from blend_weights
void enqueue_blend_tiles(TensorView<const float, 4> tiles, const DeviceGrid& grid, const float* weights,
                         TensorView<const std::uint8_t, 2> mask, TensorView<float, 3> map, Stream stream);

/// TileBlender's step: adds tile n, [C, th, tw], to a map whose tiles before n have been added, and which was 0 before
/// the first.
void enqueue_add_tile(TensorView<const float, 3> tile, std::int32_t n, const DeviceGrid& grid, const float* weights,
                      TensorView<float, 3> map, Stream stream);

/// Sets the map to 0 where the mask is.
void enqueue_clear_outside(TensorView<const std::uint8_t, 2> mask, const DeviceGrid& grid, TensorView<float, 3> map,
                           Stream stream);

}  // namespace lcx::cuda

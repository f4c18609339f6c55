#pragma once

#include "core/device_grid.cuh"
#include "ops/extract_tiles/extract_tiles_impl.hpp"

namespace lcx {

/// lcx::cut_tiles put on the stream. All that changes from film to film of one size is read from device memory when it
/// runs, so that a recorded graph serves them all.
///
/// averages  [gh, gw] of the grid
/// clip      [1] on the device: the normalisation
/// mask      [h, w], not empty
/// tiles     [N, 1, th, tw], dense: the grid's first N tiles
void enqueue_cut_tiles(TensorView<const float, 2> averages, const DeviceGrid& grid, const AffineClip* clip,
                       TensorView<const std::uint8_t, 2> mask, TensorView<float, 4> tiles, Stream stream);

}  // namespace lcx

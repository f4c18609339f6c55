#pragma once

#include <cstdint>

#include "core/tensor_view.hpp"
#include "core/tile_grid.hpp"

namespace lcx {

/// How much a tile's pixel counts where tiles overlap.
enum class TileWeights {
  kConstant,  ///< all the same
  kGaussian,  ///< separable Gaussian about the tile's centre, sigma one eighth of the side
};

/// Blends overlapping tiles into one map on the model's grid.
///
/// tiles    [N, C, th, tw] float32, dense, in the order of grid.origins()
/// weights  see TileWeights
/// mask     uint8 [h, w] spread over the whole image (Note [Mask lookup]), or empty; the map is 0 where it is
/// 0 map      [C, gh, gw] float32, dense, of the grid's shape; each pixel is the weight-normalised mean of
/// the tiles
///          that cover it, or 0 where none does
/// threads  most threads to use; 0 = all available
/// stream   for arrays on a GPU; nothing waits for it
/// Throws Error(kInvalidArgument) if shapes differ from the grid's or devices differ.
void blend_tiles(TensorView<const float, 4> tiles, const TileGrid& grid, TileWeights weights,
                 TensorView<const std::uint8_t, 2> mask, TensorView<float, 3> map, int threads = 0, Stream stream = {});

namespace cpu {
void blend_tiles(TensorView<const float, 4> tiles, const TileGrid& grid, TileWeights weights,
                 TensorView<const std::uint8_t, 2> mask, TensorView<float, 3> map, int threads);
}  // namespace cpu

namespace cuda {
void blend_tiles(TensorView<const float, 4> tiles, const TileGrid& grid, TileWeights weights,
                 TensorView<const std::uint8_t, 2> mask, TensorView<float, 3> map, Stream stream);
}  // namespace cuda

}  // namespace lcx

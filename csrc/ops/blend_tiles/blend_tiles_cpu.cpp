// Goes by map rows: all tiles that reach a row are added while its sums are in the first-level cache, so each map pixel
// goes to memory once and each tile element comes from it once. The arithmetic is TileBlender's (Note [Tile shares]).

#include <vector>

#include "core/parallel_for.hpp"
#include "core/stream_row.hpp"
#include "ops/blend_tiles/blend_tiles.hpp"
#include "ops/blend_tiles/tile_blender.hpp"

namespace lcx::cpu {

void blend_tiles(TensorView<const float, 4> tiles, const TileGrid& grid, TileWeights weights,
                 TensorView<const std::uint8_t, 2> mask, TensorView<float, 3> map, int threads) {
  const TileBlender blender(grid, weights, map);
  const auto tile = [&](std::int64_t n) {
    return TensorView<const float, 3>(tiles.data + n * tiles.strides[0],
                                      {tiles.shape[1], tiles.shape[2], tiles.shape[3]},
                                      {tiles.strides[1], tiles.strides[2], tiles.strides[3]}, tiles.device);
  };
  parallel_for(grid.shape[0], 64, threads, [&](std::int64_t begin, std::int64_t end) {
    const TileBlender::Pending pending = blender.make_pending(1, 1);
    blender.clear_uncovered(begin, end);
    for (std::int64_t y = begin; y < end; ++y) {
      const auto [first, last] = blender.tiles_of(blender.band(y));
      for (std::int64_t n = first; n < last; ++n) blender.add_rows(n, y, y + 1, tile(n), pending);
    }
    end_streaming();
    blender.clear_outside(mask, begin, end);
  });
}

}  // namespace lcx::cpu

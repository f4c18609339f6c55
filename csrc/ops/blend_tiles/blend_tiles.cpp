#include "ops/blend_tiles/blend_tiles.hpp"

#include "core/error.hpp"

namespace lcx {

void blend_tiles(TensorView<const float, 4> tiles, const TileGrid& grid, TileWeights weights,
                 TensorView<const std::uint8_t, 2> mask, TensorView<float, 3> map, int threads, Stream stream) {
  const std::array<std::int64_t, 4> expected{grid.tile_count(), tiles.shape[1], grid.tile_shape[0], grid.tile_shape[1]};
  require_argument(tiles.shape == expected, "tiles are ", shape_text(tiles.shape), "; the grid needs ",
                   shape_text(expected));
  const std::array<std::int64_t, 3> map_shape{tiles.shape[1], grid.shape[0], grid.shape[1]};
  require_argument(map.shape == map_shape, "map is ", shape_text(map.shape), "; the grid needs ",
                   shape_text(map_shape));
  require_argument(tiles.device == map.device, "tiles are on ", to_string(tiles.device), ", map on ",
                   to_string(map.device), "; both must be on one device");
  require_argument(mask.empty() || mask.device == map.device, "map is on ", to_string(map.device), ", mask on ",
                   to_string(mask.device), "; both must be on one device");
  if (map.empty()) return;
  if (map.device.type == DeviceType::kCuda) {
    cuda::blend_tiles(tiles, grid, weights, mask, map, stream);
  } else {
    cpu::blend_tiles(tiles, grid, weights, mask, map, threads);
  }
}

}  // namespace lcx

#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "core/host_device.hpp"
#include "core/tensor_view.hpp"

namespace lcx {

/// Where the tiles of one image lie on the model's grid.
///
/// The image is [image_height, image_width] pixels; one grid pixel covers scale[0] x scale[1] of them, so the
/// grid has shape ceil(image / scale) and its last row and column may hang over the image's edge. Tiles start
/// at row_starts x column_starts; only those with a nonzero `present` entry exist. Tile n of the batch is the
/// n-th present one in row-major order.
struct TileGrid {
  std::array<std::int64_t, 2> image_shape{};
  std::array<double, 2> scale{1.0, 1.0};
  std::array<std::int64_t, 2> shape{};
  std::array<std::int64_t, 2> tile_shape{};
  std::vector<std::int64_t> row_starts;
  std::vector<std::int64_t> column_starts;
  std::vector<std::uint8_t> present;

  bool has_tile(std::size_t row, std::size_t column) const { return present[row * column_starts.size() + column] != 0; }
  std::int64_t tile_count() const;
  /// [N] pairs (y, x): the present tiles' first grid pixel.
  std::vector<std::array<std::int64_t, 2>> origins() const;
  /// The grid of tile n alone. Throws Error(kInvalidArgument) unless 0 <= n < tile_count().
  TileGrid tile(std::int64_t n) const;
  bool operator==(const TileGrid&) const = default;
};

/// A grid of given tiles, as one that plan_tiles made and that was stored; `given` without its `shape`. Throws
/// Error(kInvalidArgument) unless plan_tiles' limits are kept, each tile starts on the grid, and `present` is complete.
TileGrid restore_tile_grid(TileGrid given);

/// Shape of the grid: ceil(image / scale), with a hair of tolerance so that 1000 / 0.1 is 10000 and not
/// 10001.
std::array<std::int64_t, 2> grid_shape(std::array<std::int64_t, 2> image_shape, std::array<double, 2> scale);

/// The pixels of a mask of `mask_extent` along an axis (0 = y) that each row or column of tiles looks up: half-open.
std::vector<std::array<std::int64_t, 2>> mask_ranges(const TileGrid& grid, std::size_t axis, std::int64_t mask_extent);

/// Plans tiles of one size over an image, evenly spread, leaving out those that meet no mask pixel.
///
/// image_shape  (H, W) in image pixels, each >= 1
/// scale        image pixels per grid pixel along y and x, each in [1/64, 4096]
/// tile_shape   (h, w) in grid pixels, each >= 1
/// overlap      least fraction of a tile shared with its neighbour, in [0, 0.9]
/// mask         uint8 [h, w] spread over the whole image, nonzero = keep; or empty: keep every tile
/// Where the grid is smaller than a tile there is one tile, starting at 0 and hanging over the end.
/// Throws Error(kInvalidArgument) for values outside these ranges.
TileGrid plan_tiles(std::array<std::int64_t, 2> image_shape, std::array<double, 2> scale,
                    std::array<std::int64_t, 2> tile_shape, double overlap, TensorView<const std::uint8_t, 2> mask);

// Note [Mask lookup]
// A mask has any resolution and is spread over the whole image. Grid pixel i (of scale s, over n image
// pixels) looks up the mask pixel under its centre: floor((i + 0.5) * s / n * m), kept within the m mask
// pixels.
LCX_HOST_DEVICE inline std::int64_t mask_index(std::int64_t grid_index, double scale, std::int64_t image_extent,
                                               std::int64_t mask_extent) {
  const double at = (static_cast<double>(grid_index) + 0.5) * scale / static_cast<double>(image_extent) *
                    static_cast<double>(mask_extent);
  const auto index = static_cast<std::int64_t>(at);
  return index < mask_extent ? index : mask_extent - 1;
}

}  // namespace lcx

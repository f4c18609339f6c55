#pragma once

#include <cstdint>
#include <vector>

#include "core/cuda_support.cuh"
#include "core/tile_grid.hpp"

namespace lcx {

/// A TileGrid as kernels see it. Sizes travel with each launch; which tiles there are lies in device memory, so that a
/// captured graph serves every image of one size once the table has been replaced.
struct DeviceGrid {
  std::int64_t image_height = 0, image_width = 0;
  double scale_y = 1.0, scale_x = 1.0;
  std::int32_t height = 0, width = 0;
  std::int32_t tile_height = 0, tile_width = 0;
  std::int32_t rows = 0, columns = 0;
  const std::int32_t* row_starts = nullptr;     ///< [rows]
  const std::int32_t* column_starts = nullptr;  ///< [columns]
  const std::int32_t* tiles = nullptr;          ///< [rows, columns] number of each tile; -1: not present
  const std::int32_t* origins = nullptr;        ///< [N, 2]: row and column of each tile; N at most rows * columns
};

/// Entries of the table for any grid of so many rows and columns of tiles.
inline std::int64_t grid_table_size(const TileGrid& grid) {
  const auto rows = static_cast<std::int64_t>(grid.row_starts.size());
  const auto columns = static_cast<std::int64_t>(grid.column_starts.size());
  return rows + columns + 3 * rows * columns;
}

/// What device_grid's table has to hold.
inline std::vector<std::int32_t> grid_table(const TileGrid& grid) {
  std::vector<std::int32_t> table;
  for (const auto start : grid.row_starts) table.push_back(static_cast<std::int32_t>(start));
  for (const auto start : grid.column_starts) table.push_back(static_cast<std::int32_t>(start));
  std::vector<std::int32_t> origins;
  for (std::size_t r = 0; r < grid.row_starts.size(); ++r) {
    for (std::size_t c = 0; c < grid.column_starts.size(); ++c) {
      table.push_back(grid.has_tile(r, c) ? static_cast<std::int32_t>(origins.size() / 2) : -1);
      if (!grid.has_tile(r, c)) continue;
      origins.push_back(static_cast<std::int32_t>(r));
      origins.push_back(static_cast<std::int32_t>(c));
    }
  }
  table.insert(table.end(), origins.begin(), origins.end());
  table.resize(static_cast<std::size_t>(grid_table_size(grid)), -1);
  return table;
}

/// table  [grid_table_size] on the device
inline DeviceGrid device_grid(const TileGrid& grid, const std::int32_t* table) {
  DeviceGrid result;
  result.image_height = grid.image_shape[0];
  result.image_width = grid.image_shape[1];
  result.scale_y = grid.scale[0];
  result.scale_x = grid.scale[1];
  result.height = static_cast<std::int32_t>(grid.shape[0]);
  result.width = static_cast<std::int32_t>(grid.shape[1]);
  result.tile_height = static_cast<std::int32_t>(grid.tile_shape[0]);
  result.tile_width = static_cast<std::int32_t>(grid.tile_shape[1]);
  result.rows = static_cast<std::int32_t>(grid.row_starts.size());
  result.columns = static_cast<std::int32_t>(grid.column_starts.size());
  result.row_starts = table;
  result.column_starts = result.row_starts + result.rows;
  result.tiles = result.column_starts + result.columns;
  result.origins = result.tiles + std::int64_t{result.rows} * result.columns;
  return result;
}

/// Whether the mask, if there is one, keeps grid pixel (y, x); see Note [Mask lookup].
__device__ inline bool is_kept(const TensorView<const std::uint8_t, 2>& mask, const DeviceGrid& grid, std::int64_t y,
                               std::int64_t x) {
  if (mask.data == nullptr) return true;
  const std::int64_t mask_y = mask_index(y, grid.scale_y, grid.image_height, mask.shape[0]);
  const std::int64_t mask_x = mask_index(x, grid.scale_x, grid.image_width, mask.shape[1]);
  return mask.data[mask_y * mask.strides[0] + mask_x * mask.strides[1]] != 0;
}

}  // namespace lcx

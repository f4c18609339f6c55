#pragma once

#include <cstdint>
#include <vector>

#include "core/tile_grid.hpp"

namespace lcx::cpu {

/// Columns of a tile, numbered from its first (Note [Pending sums]).
struct TileColumns {
  std::int64_t start;        ///< of the map
  std::int64_t count;        ///< inside the grid
  std::int64_t earlier_end;  ///< [0, earlier_end) are covered by an earlier tile of the same row
  std::int64_t done_begin;  ///< after this tile [done_begin, done_end) wait for none of the row: from -15, left over by
  std::int64_t done_end;    ///< the tile before, up to where a line of the cache begins before the next tile
  std::int64_t alone_begin;   ///< of these [alone_begin, done_end) lie under no other tile of the row
  std::vector<float> shares;  ///< [count]: column weight over the row's total
};

/// What rows of tiles with the same columns present have in common.
struct TilePattern {
  std::vector<std::uint8_t> present;  ///< of the grid's columns
  std::vector<TileColumns> tiles;     ///< those present
  std::vector<float> totals;          ///< [gw]: sum of their column weights
};

/// present         which of the grid's columns have a tile
/// column_weights  [tw] of a tile
TilePattern make_tile_pattern(const TileGrid& grid, std::vector<std::uint8_t> present,
                              const std::vector<float>& column_weights);

}  // namespace lcx::cpu

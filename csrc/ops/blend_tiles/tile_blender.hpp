#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "core/kept_memory.hpp"
#include "core/stream_row.hpp"
#include "ops/blend_tiles/blend_tiles.hpp"

namespace lcx::cpu {

/// Blends tiles into a map one after another, so that no more than one tile need be in memory.
///
/// Note [Tile shares]
/// Weights are analytic, so every tile's share of a pixel is known before any tile is: w_tile / (sum of w over the
/// tiles present there). A tile is added with its final share, and the first one to cover a pixel writes it, so the map
/// is neither cleared before nor divided after. Weights are separable; where the rows of tiles that meet have the same
/// columns present (nearly always), so are shares: one factor per tile row times one per column, and where no other
/// tile overlaps the share is 1.
///
/// Note [Pending sums]
/// What other tiles will be added to waits in a strip as high as a tile, which stays in the cache; a pixel is written
/// to the map when its last tile has been added. So the map is written once, from left to right in whole lines of the
/// cache, and never read (Note [Streaming]). Where rows of tiles with different columns present meet, sums wait in the
/// map itself.
class TileBlender {
 public:
  /// map  [C, gh, gw] of the grid's shape, dense rows; must outlive the blender
  TileBlender(const TileGrid& grid, TileWeights weights, TensorView<float, 3> map);

  /// Sets map rows [row_begin, row_end) to 0 where no tile covers them. To be done once, at any time.
  void clear_uncovered(std::int64_t row_begin, std::int64_t row_end) const;

  /// Adds tile n, [C, th, tw], dense rows. Tiles are added once each, n ascending.
  void add(std::int64_t n, TensorView<const float, 3> tile);

  /// What the tiles that reach map row y have in common.
  struct MapRow {
    std::int64_t y;
    std::int64_t first_tile;  ///< tiles [first_tile, last_tile) reach it
    std::int64_t last_tile;
    std::size_t first_row;  ///< of tiles
    std::size_t last_row;
    float total;      ///< sum of the tile rows' weights
    bool is_uniform;  ///< whether these rows have the same columns present
  };
  const MapRow& map_row(std::int64_t y) const { return map_rows_[static_cast<std::size_t>(y)]; }

  /// Sums of one map row that wait for further tiles, and room for those that do not.
  struct Pending {
    float* sums;                  // [C, gw], uninitialised before the row's first tile
    std::int64_t channel_stride;  // of the sums
    float* finished;              // [room()]
  };
  /// Memory for `finished`, whose lines of the cache are the map's.
  KeptMemory make_room() const {
    return KeptMemory(static_cast<std::size_t>(grid_.tile_shape[1] + kLineFloats) * sizeof(float));
  }

  /// Adds a map row's part of tile n, which reaches it; n ascending for each row. Rows are visible to other threads
  /// after end_streaming().
  void add_row(std::int64_t n, const MapRow& row, TensorView<const float, 3> tile, const Pending& pending) const;

  /// Sets map rows [row_begin, row_end) to 0 where the mask is (Note [Mask lookup]).
  void clear_outside(TensorView<const std::uint8_t, 2> mask, std::int64_t row_begin, std::int64_t row_end) const;

  const TileGrid& grid() const { return grid_; }
  std::int64_t tile_count() const { return static_cast<std::int64_t>(tiles_.size()); }

 private:
  struct Tile {
    std::size_t row;
    std::size_t column;
    std::int64_t count;         // columns inside the grid
    std::int64_t earlier_end;   // tile columns [0, earlier_end) are covered by an earlier tile of the same row
    std::int64_t done_begin;    // of the row's last tiles, tile columns [done_begin, done_end) can go to the map: from
    std::int64_t done_end;      // -15, left over by the tile before, up to a line's begin before the next tile
    std::vector<float> shares;  // [count]: column weight over the row's total
  };
  struct TileRow {
    std::vector<float> totals;  // [gw]: sum of the present tiles' column weights
    std::size_t pattern;        // rows with the same columns present have the same number
    std::int64_t first_tile;
  };

  struct ColumnRun {
    std::int64_t begin;
    std::int64_t count;
  };

  MapRow make_map_row(std::int64_t y) const;
  std::vector<ColumnRun> uncovered_columns(const MapRow& row) const;
  float row_weight(std::size_t row, std::int64_t y) const;
  void add_tile_row(std::size_t r);
  void put_row(const float* from, float* to, std::int64_t count) const;
  void add_mixed_row(const Tile& tile, const MapRow& row, const float* from, float* to) const;

  TileGrid grid_;
  TensorView<float, 3> map_;
  std::vector<float> row_weights_;     // [th]
  std::vector<float> column_weights_;  // [tw]
  std::vector<Tile> tiles_;            // [N]
  std::vector<TileRow> rows_;
  std::vector<MapRow> map_rows_;  // [gh]
  bool streams_;                  // the map is too large for the cache
  std::int64_t pitch_;            // of the strip's rows
  KeptMemory strip_;              // [C, min(th, gh), pitch]: map row y waits in row y mod its height
  KeptMemory finished_;
};

}  // namespace lcx::cpu

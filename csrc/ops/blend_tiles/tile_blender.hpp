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
/// What lies under one tile only goes straight to the map, and of the rest only what other tiles will still be added to
/// waits: columns for the next tile of the row are carried over in a piece as wide as the overlap, and where no later
/// tile of the row comes, rows for the next row of tiles wait in a strip as high as the overlap. Both stay in the
/// cache. A pixel is written to the map when its last tile has been added. So the map is written once, from left to
/// right in whole lines of the cache, and never read (Note [Streaming]). Where rows of tiles with different columns
/// present meet, sums wait in the map itself.
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
    float* carried;  // [C, ...]: columns for the next tile of the row
    std::int64_t carried_stride;
    float* waiting;  // [C, gw]: for the next row of tiles
    std::int64_t waiting_stride;
    float* room;  // [tw + 15]
  };
  /// Memory for the sums of so many rows that are carried over and that wait, and one of these rows in it. One of each
  /// is enough where all tiles of a map row are added before the next row.
  KeptMemory make_memory(std::int64_t carried_rows, std::int64_t waiting_rows) const;
  Pending pending_row(const KeptMemory& memory, std::int64_t carried_rows, std::int64_t carried_row,
                      std::int64_t waiting_rows, std::int64_t waiting_row) const;

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
    std::int64_t count;        // columns inside the grid
    std::int64_t earlier_end;  // tile columns [0, earlier_end) are covered by an earlier tile of the same row
    std::int64_t done_begin;  // after this tile columns [done_begin, done_end) wait for none of the row: from -15, left
    std::int64_t done_end;    // over by the tile before, up to a line's begin before the next tile
    std::int64_t alone_begin;   // of these [alone_begin, done_end) lie under no other tile of the row
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
  std::int64_t waiting_pitch_;
  std::int64_t carried_pitch_ = 0;
  std::int64_t waiting_rows_ = 1;  // most that wait at a time: map row y does in row y mod this
  KeptMemory memory_;              // of tiles that come one by one
};

}  // namespace lcx::cpu

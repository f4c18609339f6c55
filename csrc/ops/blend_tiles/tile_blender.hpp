#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "ops/blend_tiles/blend_tiles.hpp"

namespace lcx::cpu {

/// Blends tiles into a map one after another, so that no more than one tile need be in memory.
///
/// Note [Tile shares]
/// Weights are analytic, so every tile's share of a pixel is known before any tile is: w_tile / (sum of w over the
/// tiles present there). A tile is added with its final share, and the first one to cover a pixel writes it, so the map
/// is neither cleared before nor divided after. Weights are separable; where the rows of tiles that meet have the same
/// columns present (nearly always), so are shares: one factor per tile row times one per column, and where no other
/// tile overlaps the share is 1 and the tile is copied.
class TileBlender {
 public:
  /// map  [C, gh, gw] of the grid's shape, dense; must outlive the blender
  TileBlender(const TileGrid& grid, TileWeights weights, TensorView<float, 3> map);

  /// Sets map rows [row_begin, row_end) to 0 where no tile covers them. To be done once, at any time.
  void clear_uncovered(std::int64_t row_begin, std::int64_t row_end) const;

  /// Adds tile n, [C, th, tw], dense rows. Tiles are added once each, n ascending.
  void add(std::int64_t n, TensorView<const float, 3> tile) const;

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

  /// Adds a map row's part of tile n, which reaches it; n ascending for each row.
  void add_row(std::int64_t n, const MapRow& row, TensorView<const float, 3> tile) const;

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
    std::int64_t later_begin;   // tile columns [later_begin, count) are covered by a later one
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
  void add_mixed_row(const Tile& tile, const MapRow& row, const float* from, float* to) const;

  TileGrid grid_;
  TensorView<float, 3> map_;
  std::vector<float> row_weights_;     // [th]
  std::vector<float> column_weights_;  // [tw]
  std::vector<Tile> tiles_;            // [N]
  std::vector<TileRow> rows_;
  std::vector<MapRow> map_rows_;  // [gh]
};

}  // namespace lcx::cpu

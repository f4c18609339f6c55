#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "core/kept_memory.hpp"
#include "ops/blend_tiles/blend_tiles.hpp"
#include "ops/blend_tiles/tile_pattern.hpp"

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

  /// Map rows that the same tiles reach.
  struct Band {
    std::int64_t row_begin;
    std::int64_t row_end;
    std::size_t first_row;  ///< rows of tiles [first_row, last_row) reach it
    std::size_t last_row;
    bool is_uniform;  ///< whether these rows have the same columns present
  };
  const Band& band(std::int64_t y) const { return bands_[band_of_row_[static_cast<std::size_t>(y)]]; }
  /// Tiles [first, second) reach these map rows.
  std::pair<std::int64_t, std::int64_t> tiles_of(const Band& band) const;

  /// Sums that wait for further tiles, and room for some that do not. Those of map row y are in row y mod the number of
  /// rows there are.
  struct Pending {
    KeptMemory memory;
    std::int64_t carried_rows;
    std::int64_t waiting_rows;
    float* carried;  // [C, carried_rows, ...]: columns for the next tile of the row
    float* waiting;  // [C, waiting_rows, gw]: for the next row of tiles
    float* room;
  };
  /// One row of each is enough where all tiles of a map row are added before the next row.
  Pending make_pending(std::int64_t carried_rows, std::int64_t waiting_rows) const;

  /// Adds the part of tile n in map rows [row_begin, row_end), which it reaches and which are of one band; n ascending
  /// for each row. Rows are visible to other threads after end_streaming().
  void add_rows(std::int64_t n, std::int64_t row_begin, std::int64_t row_end, TensorView<const float, 3> tile,
                const Pending& pending) const;

  /// Sets map rows [row_begin, row_end) to 0 where the mask is (Note [Mask lookup]).
  void clear_outside(TensorView<const std::uint8_t, 2> mask, std::int64_t row_begin, std::int64_t row_end) const;

  const TileGrid& grid() const { return grid_; }
  std::int64_t tile_count() const { return static_cast<std::int64_t>(tiles_.size()); }

 private:
  struct Tile {
    std::size_t row;
    std::size_t place;  // in its row's pattern
  };
  struct Row {
    std::size_t pattern;
    std::int64_t first_tile;
  };
  struct ColumnRun {
    std::int64_t begin;
    std::int64_t end;
  };

  void make_row(std::size_t r);
  void make_bands();
  const TilePattern& pattern(std::size_t row) const { return patterns_[rows_[row].pattern]; }
  std::vector<ColumnRun> uncovered_columns(const Band& band) const;
  float row_weight(std::size_t row, std::int64_t y) const;
  void add_mixed_row(const Tile& tile, std::int64_t y, const float* from, float* to) const;

  TileGrid grid_;
  TensorView<float, 3> map_;
  std::vector<float> row_weights_;     // [th]
  std::vector<float> column_weights_;  // [tw]
  std::vector<Tile> tiles_;            // [N]
  std::vector<Row> rows_;
  std::vector<TilePattern> patterns_;
  std::vector<Band> bands_;
  std::vector<std::uint32_t> band_of_row_;  // [gh]
  std::vector<float> row_totals_;           // [gh]: sum of the weights of the rows of tiles that reach it
  bool streams_;                            // the map is too large for the cache
  std::int64_t waiting_pitch_;
  std::int64_t carried_pitch_ = 0;
  std::int64_t waiting_rows_ = 1;   // most that wait at a time: map row y does in row y mod this
  std::optional<Pending> pending_;  // of tiles that come one by one
};

}  // namespace lcx::cpu

#pragma once

#include "ops/blend_tiles/tile_pattern.hpp"

namespace lcx::cpu {

/// A row of a tile, one of the map, and the sums that wait between them (Note [Pending sums]).
struct TileRow {
  const float* from;  ///< the tile's
  float* to;          ///< the map's, from the tile's first column on
  bool streams;       ///< whether the map is written past the cache
  float factor;       ///< the row's part of the tile's share
  float* carried;     ///< from the tile before and for the next one, from done_begin and done_end on
  float* waiting;     ///< from rows of tiles before and for the next one, from the tile's first column on
  float* room;        ///< for as many columns as the tile has and a line of the cache
  bool is_first;      ///< whether no row of tiles before has reached this row of the map
  bool is_last;       ///< whether none will
};

/// Adds it with its shares.
void add_tile_row(const TileColumns& columns, const TileRow& row);

}  // namespace lcx::cpu

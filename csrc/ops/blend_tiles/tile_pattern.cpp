#include "ops/blend_tiles/tile_pattern.hpp"

#include <algorithm>
#include <utility>

#include "core/stream_row.hpp"

namespace lcx::cpu {
namespace {

std::int64_t line_begin(std::int64_t column) { return column / kLineFloats * kLineFloats; }

// Which columns wait, of tiles whose place is known.
void set_done(std::vector<TileColumns>& tiles) {
  for (std::size_t k = 0; k < tiles.size(); ++k) {
    TileColumns& tile = tiles[k];
    tile.done_end = tile.count;
    if (k + 1 < tiles.size() && tiles[k + 1].start <= tile.start + tile.count) {
      const std::int64_t done = std::max(tile.start + tile.done_begin, line_begin(tiles[k + 1].start));
      tile.done_end = done - tile.start;
      tiles[k + 1].done_begin = done - tiles[k + 1].start;
    }
    tile.alone_begin = std::clamp(line_begin(tile.start + tile.earlier_end + kLineFloats - 1) - tile.start,
                                  tile.done_begin, std::max(tile.done_begin, tile.done_end));
  }
}

}  // namespace

TilePattern make_tile_pattern(const TileGrid& grid, std::vector<std::uint8_t> present,
                              const std::vector<float>& column_weights) {
  TilePattern pattern{std::move(present), {}, std::vector<float>(static_cast<std::size_t>(grid.shape[1]), 0.0F)};
  std::int64_t covered_to = 0;
  for (std::size_t c = 0; c < grid.column_starts.size(); ++c) {
    if (pattern.present[c] == 0) continue;
    const std::int64_t start = grid.column_starts[c];
    const std::int64_t count = std::min(grid.tile_shape[1], grid.shape[1] - start);
    pattern.tiles.push_back({start, count, std::clamp<std::int64_t>(covered_to - start, 0, count), 0, 0, 0, {}});
    covered_to = start + count;
    float* totals = pattern.totals.data() + start;
    for (std::int64_t x = 0; x < count; ++x) totals[x] += column_weights[static_cast<std::size_t>(x)];
  }
  set_done(pattern.tiles);
  for (TileColumns& tile : pattern.tiles) {
    tile.shares.assign(column_weights.begin(), column_weights.begin() + static_cast<std::ptrdiff_t>(tile.count));
    const float* total = pattern.totals.data() + tile.start;
    for (float& share : tile.shares) share /= *total++;
  }
  return pattern;
}

}  // namespace lcx::cpu

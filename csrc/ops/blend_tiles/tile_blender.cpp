#include "ops/blend_tiles/tile_blender.hpp"

#include <algorithm>
#include <cstring>

#include "core/mask_spread.hpp"
#include "core/simd.hpp"
#include "ops/blend_tiles/blend_tiles_impl.hpp"

namespace lcx::cpu {
namespace {

LCX_SIMD_CLONES void write_shares(const float* from, const float* shares, float factor, float* to, std::int64_t count) {
  for (std::int64_t x = 0; x < count; ++x) to[x] = factor * shares[x] * from[x];
}

LCX_SIMD_CLONES void add_shares(const float* from, const float* shares, float factor, float* to, std::int64_t count) {
  for (std::int64_t x = 0; x < count; ++x) to[x] += factor * shares[x] * from[x];
}

LCX_SIMD_CLONES void write_scaled(const float* from, float factor, float* to, std::int64_t count) {
  for (std::int64_t x = 0; x < count; ++x) to[x] = factor * from[x];
}

LCX_SIMD_CLONES void add_scaled(const float* from, float factor, float* to, std::int64_t count) {
  for (std::int64_t x = 0; x < count; ++x) to[x] += factor * from[x];
}

}  // namespace

TileBlender::TileBlender(const TileGrid& grid, TileWeights weights, TensorView<float, 3> map) : grid_(grid), map_(map) {
  for (std::int64_t y = 0; y < grid.tile_shape[0]; ++y) {
    row_weights_.push_back(tile_weight(weights, y, grid.tile_shape[0]));
  }
  for (std::int64_t x = 0; x < grid.tile_shape[1]; ++x) {
    column_weights_.push_back(tile_weight(weights, x, grid.tile_shape[1]));
  }
  const std::size_t columns = grid.column_starts.size();
  for (std::size_t r = 0; r < grid.row_starts.size(); ++r) {
    TileRow row{std::vector<float>(static_cast<std::size_t>(grid.shape[1]), 0.0F), r,
                static_cast<std::int64_t>(tiles_.size())};
    const std::size_t first = tiles_.size();
    std::int64_t covered_to = 0;
    for (std::size_t c = 0; c < columns; ++c) {
      if (!grid.has_tile(r, c)) continue;
      const std::int64_t start = grid.column_starts[c];
      const std::int64_t count = std::min(grid.tile_shape[1], grid.shape[1] - start);
      tiles_.push_back({r, c, count, std::clamp<std::int64_t>(covered_to - start, 0, count), count, {}});
      covered_to = start + count;
      for (std::int64_t x = 0; x < count; ++x) {
        row.totals[static_cast<std::size_t>(start + x)] += column_weights_[static_cast<std::size_t>(x)];
      }
    }
    for (std::size_t n = first; n < tiles_.size(); ++n) {
      Tile& tile = tiles_[n];
      const std::int64_t start = grid.column_starts[tile.column];
      if (n + 1 < tiles_.size()) {
        tile.later_begin = std::min(tile.count, grid.column_starts[tiles_[n + 1].column] - start);
      }
      for (std::int64_t x = 0; x < tile.count; ++x) {
        tile.shares.push_back(column_weights_[static_cast<std::size_t>(x)] /
                              row.totals[static_cast<std::size_t>(start + x)]);
      }
    }
    const auto present = [&](std::size_t k) { return grid.present.begin() + static_cast<std::ptrdiff_t>(k * columns); };
    for (std::size_t k = 0; k < r; ++k) {
      if (std::equal(present(r), present(r + 1), present(k))) {
        row.pattern = rows_[k].pattern;
        break;
      }
    }
    rows_.push_back(std::move(row));
  }
  for (std::int64_t y = 0; y < grid.shape[0]; ++y) map_rows_.push_back(make_map_row(y));
}

float TileBlender::row_weight(std::size_t row, std::int64_t y) const {
  return row_weights_[static_cast<std::size_t>(y - grid_.row_starts[row])];
}

TileBlender::MapRow TileBlender::make_map_row(std::int64_t y) const {
  // Starts ascend, so the tile rows that reach a map row are neighbours.
  MapRow row{y, 0, 0, 0, 0, 0.0F, true};
  while (row.first_row < rows_.size() && grid_.row_starts[row.first_row] + grid_.tile_shape[0] <= y) ++row.first_row;
  row.last_row = row.first_row;
  for (; row.last_row < rows_.size() && grid_.row_starts[row.last_row] <= y; ++row.last_row) {
    row.total += row_weight(row.last_row, y);
    row.is_uniform &= rows_[row.last_row].pattern == rows_[row.first_row].pattern;
  }
  const auto tiles = static_cast<std::int64_t>(tiles_.size());
  row.first_tile = row.first_row < rows_.size() ? rows_[row.first_row].first_tile : tiles;
  row.last_tile = row.last_row < rows_.size() ? rows_[row.last_row].first_tile : tiles;
  return row;
}

void TileBlender::clear_uncovered(std::int64_t row_begin, std::int64_t row_end) const {
  std::vector<ColumnRun> runs;
  const MapRow* above = nullptr;
  for (std::int64_t y = row_begin; y < row_end; ++y) {
    const MapRow& row = map_row(y);
    // Map rows within the same tile rows are neighbours and lack the same columns.
    if (above == nullptr || row.first_row != above->first_row || row.last_row != above->last_row) {
      runs = uncovered_columns(row);
    }
    above = &row;
    for (std::int64_t channel = 0; channel < map_.shape[0]; ++channel) {
      for (const ColumnRun& run : runs)
        std::fill(&map_(channel, y, run.begin), &map_(channel, y, run.begin) + run.count, 0.0F);
    }
  }
}

std::vector<TileBlender::ColumnRun> TileBlender::uncovered_columns(const MapRow& row) const {
  std::vector<ColumnRun> runs;
  for (std::int64_t x = 0; x < grid_.shape[1]; ++x) {
    bool covered = false;
    for (std::size_t r = row.first_row; r < row.last_row; ++r) {
      covered |= rows_[r].totals[static_cast<std::size_t>(x)] > 0.0F;
    }
    if (covered) continue;
    if (!runs.empty() && runs.back().begin + runs.back().count == x) {
      ++runs.back().count;
    } else {
      runs.push_back({x, 1});
    }
  }
  return runs;
}

void TileBlender::add(std::int64_t n, TensorView<const float, 3> tile) const {
  const std::int64_t begin = grid_.row_starts[tiles_[static_cast<std::size_t>(n)].row];
  const std::int64_t end = std::min(begin + grid_.tile_shape[0], grid_.shape[0]);
  for (std::int64_t y = begin; y < end; ++y) add_row(n, map_row(y), tile);
}

void TileBlender::add_row(std::int64_t n, const MapRow& row, TensorView<const float, 3> tile) const {
  const Tile& t = tiles_[static_cast<std::size_t>(n)];
  const float factor = row_weight(t.row, row.y) / row.total;
  const float* shares = t.shares.data();
  // [0, left) may overlap an earlier tile of this row, [right, count) a later one; between them the share is 1.
  const std::int64_t left = t.earlier_end;
  const std::int64_t right = std::max(left, t.later_begin);
  for (std::int64_t channel = 0; channel < map_.shape[0]; ++channel) {
    const float* from = &tile(channel, row.y - grid_.row_starts[t.row], 0);
    float* to = &map_(channel, row.y, grid_.column_starts[t.column]);
    if (!row.is_uniform) {
      add_mixed_row(t, row, from, to);
      continue;
    }
    add_shares(from, shares, factor, to, left);
    if (row.first_row != t.row) {
      // The row above has the same columns present, so all of this has been written before.
      add_scaled(from + left, factor, to + left, right - left);
      add_shares(from + right, shares + right, factor, to + right, t.count - right);
      continue;
    }
    if (factor == 1.0F) {
      std::memcpy(to + left, from + left, static_cast<std::size_t>(right - left) * sizeof(float));
    } else {
      write_scaled(from + left, factor, to + left, right - left);
    }
    write_shares(from + right, shares + right, factor, to + right, t.count - right);
  }
}

// Rows of tiles with different columns present meet here: weights and coverage pixel by pixel.
void TileBlender::add_mixed_row(const Tile& tile, const MapRow& row, const float* from, float* to) const {
  const auto start = static_cast<std::size_t>(grid_.column_starts[tile.column]);
  const float own_row = row_weight(tile.row, row.y);
  for (std::int64_t x = 0; x < tile.count; ++x) {
    const std::size_t column = start + static_cast<std::size_t>(x);
    float total = 0.0F;
    bool covered = x < tile.earlier_end;
    for (std::size_t r = row.first_row; r < row.last_row; ++r) {
      total += row_weight(r, row.y) * rows_[r].totals[column];
      covered |= r < tile.row && rows_[r].totals[column] > 0.0F;
    }
    const float part = own_row * column_weights_[static_cast<std::size_t>(x)] / total * from[x];
    to[x] = covered ? to[x] + part : part;
  }
}

void TileBlender::clear_outside(TensorView<const std::uint8_t, 2> mask, std::int64_t row_begin,
                                std::int64_t row_end) const {
  if (mask.empty()) return;
  const MaskSpread runs(mask, grid_.scale, grid_.image_shape, grid_.shape[1]);
  for (std::int64_t y = row_begin; y < row_end; ++y) {
    for (std::int64_t channel = 0; channel < map_.shape[0]; ++channel) {
      float* row = &map_(channel, y, 0);
      runs.for_each_run(y, 0, grid_.shape[1], false,
                        [&](std::int64_t begin, std::int64_t end) { std::fill(row + begin, row + end, 0.0F); });
    }
  }
}

}  // namespace lcx::cpu

#include "ops/blend_tiles/tile_blender.hpp"

#include <algorithm>

#include "core/mask_spread.hpp"
#include "core/prefetch.hpp"
#include "core/simd.hpp"
#include "core/stream_row.hpp"
#include "ops/blend_tiles/blend_tiles_impl.hpp"

namespace lcx::cpu {
namespace {

// Maps of as many bytes are streamed: they would not be in the cache by the time they are read.
constexpr std::int64_t kLeastStreamed = std::int64_t{8} << 20;

// Where no other tile overlaps, share and factor are 1 and the value is the tile's.
LCX_SIMD_CLONES void write_shares(const float* from, const float* shares, float factor, float* to, std::int64_t count) {
  for (std::int64_t x = 0; x < count; ++x) to[x] = factor * shares[x] * from[x];
}

LCX_SIMD_CLONES void add_shares(const float* from, const float* shares, float factor, float* to, std::int64_t count) {
  for (std::int64_t x = 0; x < count; ++x) to[x] += factor * shares[x] * from[x];
}

LCX_SIMD_CLONES void sum_shares(const float* before, const float* from, const float* shares, float factor, float* to,
                                std::int64_t count) {
  for (std::int64_t x = 0; x < count; ++x) to[x] = before[x] + factor * shares[x] * from[x];
}

std::int64_t line_begin(std::int64_t column) { return column / kLineFloats * kLineFloats; }

}  // namespace

TileBlender::TileBlender(const TileGrid& grid, TileWeights weights, TensorView<float, 3> map)
    : grid_(grid),
      map_(map),
      streams_(map.size() * static_cast<std::int64_t>(sizeof(float)) >= kLeastStreamed),
      pitch_(line_begin(grid.shape[1] + kLineFloats - 1)),
      finished_(make_room()) {
  for (std::int64_t y = 0; y < grid.tile_shape[0]; ++y) {
    row_weights_.push_back(tile_weight(weights, y, grid.tile_shape[0]));
  }
  for (std::int64_t x = 0; x < grid.tile_shape[1]; ++x) {
    column_weights_.push_back(tile_weight(weights, x, grid.tile_shape[1]));
  }
  for (std::size_t r = 0; r < grid.row_starts.size(); ++r) add_tile_row(r);
  for (std::int64_t y = 0; y < grid.shape[0]; ++y) map_rows_.push_back(make_map_row(y));
}

void TileBlender::add_tile_row(std::size_t r) {
  const std::size_t columns = grid_.column_starts.size();
  TileRow row{std::vector<float>(static_cast<std::size_t>(grid_.shape[1]), 0.0F), r,
              static_cast<std::int64_t>(tiles_.size())};
  const std::size_t first = tiles_.size();
  std::int64_t covered_to = 0;
  for (std::size_t c = 0; c < columns; ++c) {
    if (!grid_.has_tile(r, c)) continue;
    const std::int64_t start = grid_.column_starts[c];
    const std::int64_t count = std::min(grid_.tile_shape[1], grid_.shape[1] - start);
    tiles_.push_back({r, c, count, std::clamp<std::int64_t>(covered_to - start, 0, count), 0, count, {}});
    covered_to = start + count;
    for (std::int64_t x = 0; x < count; ++x) {
      row.totals[static_cast<std::size_t>(start + x)] += column_weights_[static_cast<std::size_t>(x)];
    }
  }
  for (std::size_t n = first; n < tiles_.size(); ++n) {
    Tile& tile = tiles_[n];
    const std::int64_t start = grid_.column_starts[tile.column];
    if (n + 1 < tiles_.size()) {
      const std::int64_t next = grid_.column_starts[tiles_[n + 1].column];
      if (next <= start + tile.count) {
        const std::int64_t done = std::max(start + tile.done_begin, line_begin(next));
        tile.done_end = done - start;
        tiles_[n + 1].done_begin = done - next;
      }
    }
    for (std::int64_t x = 0; x < tile.count; ++x) {
      tile.shares.push_back(column_weights_[static_cast<std::size_t>(x)] /
                            row.totals[static_cast<std::size_t>(start + x)]);
    }
  }
  const auto present = [&](std::size_t k) { return grid_.present.begin() + static_cast<std::ptrdiff_t>(k * columns); };
  for (std::size_t k = 0; k < r; ++k) {
    if (std::equal(present(r), present(r + 1), present(k))) {
      row.pattern = rows_[k].pattern;
      break;
    }
  }
  rows_.push_back(std::move(row));
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

void TileBlender::add(std::int64_t n, TensorView<const float, 3> tile) {
  const std::int64_t begin = grid_.row_starts[tiles_[static_cast<std::size_t>(n)].row];
  const std::int64_t end = std::min(begin + grid_.tile_shape[0], grid_.shape[0]);
  const std::int64_t rows = std::min(grid_.tile_shape[0], grid_.shape[0]);
  const std::int64_t channel_stride = rows * pitch_;
  if (strip_.data() == nullptr) {
    strip_ = KeptMemory(static_cast<std::size_t>(map_.shape[0] * channel_stride) * sizeof(float));
  }
  auto* strip = static_cast<float*>(strip_.data());
  auto* finished = static_cast<float*>(finished_.data());
  const std::int64_t count = tiles_[static_cast<std::size_t>(n)].count;
  for (std::int64_t y = begin; y < end; ++y) {
    for (std::int64_t channel = 0; channel < map_.shape[0] && y + kRowsAhead < end; ++channel) {
      prefetch_row(&tile(channel, y + kRowsAhead - begin, 0), count);
    }
    add_row(n, map_row(y), tile, {strip + y % rows * pitch_, channel_stride, finished});
  }
  end_streaming();
}

void TileBlender::add_row(std::int64_t n, const MapRow& row, TensorView<const float, 3> tile,
                          const Pending& pending) const {
  const Tile& t = tiles_[static_cast<std::size_t>(n)];
  const float factor = row_weight(t.row, row.y) / row.total;
  const float* shares = t.shares.data();
  const std::int64_t start = grid_.column_starts[t.column];
  // The row of tiles above has the same columns present; if there is one, all of this tile has been covered before.
  const std::int64_t covered = row.first_row == t.row ? t.earlier_end : t.count;
  const bool is_last = row.last_row == t.row + 1;
  const std::int64_t done = is_last ? std::max<std::int64_t>(t.done_end, 0) : 0;
  for (std::int64_t channel = 0; channel < map_.shape[0]; ++channel) {
    const float* from = &tile(channel, row.y - grid_.row_starts[t.row], 0);
    float* to = &map_(channel, row.y, start);
    if (!row.is_uniform) {
      add_mixed_row(t, row, from, to);
      continue;
    }
    float* sums = pending.sums + channel * pending.channel_stride + start;
    if (done > 0) {
      float* finished = pending.finished - t.done_begin;
      const std::int64_t summed = std::min(covered, done);
      std::copy(sums + t.done_begin, sums, finished + t.done_begin);
      sum_shares(sums, from, shares, factor, finished, summed);
      write_shares(from + summed, shares + summed, factor, finished + summed, done - summed);
      put_row(finished + t.done_begin, to + t.done_begin, done - t.done_begin);
    }
    const std::int64_t added = std::max(covered, done);
    add_shares(from + done, shares + done, factor, sums + done, added - done);
    write_shares(from + added, shares + added, factor, sums + added, t.count - added);
  }
}

void TileBlender::put_row(const float* from, float* to, std::int64_t count) const {
  if (streams_) {
    stream_row(from, to, count);
  } else {
    std::copy(from, from + count, to);
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

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

LCX_SIMD_CLONES void sum_shares(const float* before, const float* from, const float* shares, float factor, float* to,
                                std::int64_t count) {
  for (std::int64_t x = 0; x < count; ++x) to[x] = before[x] + factor * shares[x] * from[x];
}

// From row to row of sums, in whole lines of the cache.
std::int64_t pitch(std::int64_t columns) { return (columns / kLineFloats + 1) * kLineFloats; }

std::int64_t line_begin(std::int64_t column) { return column / kLineFloats * kLineFloats; }

}  // namespace

TileBlender::TileBlender(const TileGrid& grid, TileWeights weights, TensorView<float, 3> map)
    : grid_(grid),
      map_(map),
      streams_(map.size() * static_cast<std::int64_t>(sizeof(float)) >= kLeastStreamed),
      waiting_pitch_(pitch(grid.shape[1])) {
  for (std::int64_t y = 0; y < grid.tile_shape[0]; ++y) {
    row_weights_.push_back(tile_weight(weights, y, grid.tile_shape[0]));
  }
  for (std::int64_t x = 0; x < grid.tile_shape[1]; ++x) {
    column_weights_.push_back(tile_weight(weights, x, grid.tile_shape[1]));
  }
  for (std::size_t r = 0; r < grid.row_starts.size(); ++r) {
    add_tile_row(r);
    if (r == 0) continue;
    waiting_rows_ = std::max(waiting_rows_, grid.row_starts[r - 1] + grid.tile_shape[0] - grid.row_starts[r]);
  }
  for (std::int64_t y = 0; y < grid.shape[0]; ++y) map_rows_.push_back(make_map_row(y));
  for (const Tile& tile : tiles_) {
    carried_pitch_ = std::max(carried_pitch_, pitch(tile.count - tile.done_end));
  }
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
    tiles_.push_back({r, c, count, std::clamp<std::int64_t>(covered_to - start, 0, count), 0, count, 0, {}});
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
    tile.alone_begin = std::clamp(line_begin(start + tile.earlier_end + kLineFloats - 1) - start, tile.done_begin,
                                  std::max(tile.done_begin, tile.done_end));
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
  const Tile& t = tiles_[static_cast<std::size_t>(n)];
  const std::int64_t begin = grid_.row_starts[t.row];
  const std::int64_t end = std::min(begin + grid_.tile_shape[0], grid_.shape[0]);
  const std::int64_t start = grid_.column_starts[t.column];
  if (memory_.data() == nullptr) memory_ = make_memory(grid_.tile_shape[0], waiting_rows_);
  const bool is_dense = tile.strides[1] == grid_.tile_shape[1];
  for (std::int64_t y = begin; y < end; ++y) {
    const std::int64_t ahead = y + kRowsAhead;
    if (ahead < end) {
      const bool adds = map_row(ahead).first_row != t.row;
      const Pending pending =
          pending_row(memory_, grid_.tile_shape[0], ahead - begin, waiting_rows_, ahead % waiting_rows_);
      for (std::int64_t channel = 0; channel < map_.shape[0]; ++channel) {
        if (!is_dense) prefetch_row(&tile(channel, ahead - begin, 0), t.count);
        if (adds) {
          prefetch_row(pending.waiting + channel * pending.waiting_stride + start + t.earlier_end,
                       t.count - t.earlier_end);
        }
      }
    }
    add_row(n, map_row(y), tile,
            pending_row(memory_, grid_.tile_shape[0], y - begin, waiting_rows_, y % waiting_rows_));
  }
  end_streaming();
}

KeptMemory TileBlender::make_memory(std::int64_t carried_rows, std::int64_t waiting_rows) const {
  const std::int64_t floats = map_.shape[0] * (carried_rows * carried_pitch_ + waiting_rows * waiting_pitch_) +
                              grid_.tile_shape[1] + kLineFloats;
  return KeptMemory(static_cast<std::size_t>(floats) * sizeof(float));
}

TileBlender::Pending TileBlender::pending_row(const KeptMemory& memory, std::int64_t carried_rows,
                                              std::int64_t carried_row, std::int64_t waiting_rows,
                                              std::int64_t waiting_row) const {
  auto* waiting = static_cast<float*>(memory.data());
  float* carried = waiting + map_.shape[0] * waiting_rows * waiting_pitch_;
  float* room = carried + map_.shape[0] * carried_rows * carried_pitch_;
  return {carried + carried_row * carried_pitch_, carried_rows * carried_pitch_, waiting + waiting_row * waiting_pitch_,
          waiting_rows * waiting_pitch_, room};
}

void TileBlender::add_row(std::int64_t n, const MapRow& row, TensorView<const float, 3> tile,
                          const Pending& pending) const {
  const Tile& t = tiles_[static_cast<std::size_t>(n)];
  const float factor = row_weight(t.row, row.y) / row.total;
  const float* shares = t.shares.data();
  const std::int64_t start = grid_.column_starts[t.column];
  const bool is_first = row.first_row == t.row;
  const bool is_last = row.last_row == t.row + 1;
  const std::int64_t alone_begin = is_first && is_last ? t.alone_begin : t.done_end;
  for (std::int64_t channel = 0; channel < map_.shape[0]; ++channel) {
    const float* from = &tile(channel, row.y - grid_.row_starts[t.row], 0);
    float* to = &map_(channel, row.y, start);
    if (!row.is_uniform) {
      add_mixed_row(t, row, from, to);
      continue;
    }
    // All of these are indexed by tile column. The first tile of its row to cover a column takes over what waits there,
    // so that every sum has one summand before its own.
    const float* carried = pending.carried + channel * pending.carried_stride - t.done_begin;
    float* onward = pending.carried + channel * pending.carried_stride - t.done_end;
    float* waiting = pending.waiting + channel * pending.waiting_stride + start;
    float* room = pending.room - t.done_begin;
    const auto sum = [&](std::int64_t begin, std::int64_t end, float* sums) {
      const std::int64_t own = std::clamp<std::int64_t>(0, begin, end);
      const std::int64_t covered = std::clamp(t.earlier_end, own, end);
      std::copy(carried + begin, carried + own, sums + begin);
      if (covered > own) sum_shares(carried + own, from + own, shares + own, factor, sums + own, covered - own);
      if (end == covered) return;
      if (is_first) {
        write_shares(from + covered, shares + covered, factor, sums + covered, end - covered);
      } else {
        sum_shares(waiting + covered, from + covered, shares + covered, factor, sums + covered, end - covered);
      }
    };
    if (is_last) {
      sum(t.done_begin, alone_begin, room);
      put_row(room + t.done_begin, to + t.done_begin, alone_begin - t.done_begin);
      put_row(from + alone_begin, to + alone_begin, t.done_end - alone_begin);
    } else {
      sum(t.done_begin, t.done_end, is_first ? waiting : room);
      if (!is_first) std::copy(room + t.done_begin, room + t.done_end, waiting + t.done_begin);
    }
    // What is carried on lies before what was carried here, and may overlap it.
    const std::int64_t covered = std::max(t.earlier_end, t.done_end);
    sum(t.done_end, covered, room);
    std::copy(room + t.done_end, room + covered, onward + t.done_end);
    sum(covered, t.count, onward);
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

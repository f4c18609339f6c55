#include "ops/blend_tiles/tile_blender.hpp"

#include <algorithm>

#include "core/mask_spread.hpp"
#include "core/prefetch.hpp"
#include "core/stream_row.hpp"
#include "ops/blend_tiles/blend_tiles_impl.hpp"
#include "ops/blend_tiles/tile_row.hpp"

namespace lcx::cpu {
namespace {

// Maps of as many bytes are streamed: they would not be in the cache by the time they are read.
constexpr std::int64_t kLeastStreamed = std::int64_t{8} << 20;

// From row to row of sums, in whole lines of the cache.
std::int64_t pitch(std::int64_t columns) { return (columns / kLineFloats + 1) * kLineFloats; }

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
    make_row(r);
    if (r == 0) continue;
    waiting_rows_ = std::max(waiting_rows_, grid.row_starts[r - 1] + grid.tile_shape[0] - grid.row_starts[r]);
  }
  make_bands();
  for (const TilePattern& pattern : patterns_) {
    for (const TileColumns& tile : pattern.tiles) {
      carried_pitch_ = std::max(carried_pitch_, pitch(tile.count - tile.done_end));
    }
  }
}

void TileBlender::make_row(std::size_t r) {
  const auto columns = static_cast<std::ptrdiff_t>(grid_.column_starts.size());
  const auto first = grid_.present.begin() + static_cast<std::ptrdiff_t>(r) * columns;
  std::vector<std::uint8_t> present(first, first + columns);
  std::size_t k = 0;
  while (k < patterns_.size() && patterns_[k].present != present) ++k;
  if (k == patterns_.size()) patterns_.push_back(make_tile_pattern(grid_, std::move(present), column_weights_));
  rows_.push_back({k, tile_count()});
  for (std::size_t place = 0; place < patterns_[k].tiles.size(); ++place) tiles_.push_back({r, place});
}

float TileBlender::row_weight(std::size_t row, std::int64_t y) const {
  return row_weights_[static_cast<std::size_t>(y - grid_.row_starts[row])];
}

void TileBlender::make_bands() {
  band_of_row_.reserve(static_cast<std::size_t>(grid_.shape[0]));
  row_totals_.reserve(static_cast<std::size_t>(grid_.shape[0]));
  // Starts ascend, so the rows of tiles that reach a map row are neighbours.
  std::size_t first = 0;
  std::size_t last = 0;
  for (std::int64_t y = 0; y < grid_.shape[0]; ++y) {
    while (first < rows_.size() && grid_.row_starts[first] + grid_.tile_shape[0] <= y) ++first;
    last = std::max(last, first);
    while (last < rows_.size() && grid_.row_starts[last] <= y) ++last;
    float total = 0.0F;
    for (std::size_t r = first; r < last; ++r) total += row_weight(r, y);
    row_totals_.push_back(total);
    if (bands_.empty() || bands_.back().first_row != first || bands_.back().last_row != last) {
      bands_.push_back({y, y, first, last, true});
      for (std::size_t r = first; r < last; ++r) bands_.back().is_uniform &= rows_[r].pattern == rows_[first].pattern;
    }
    bands_.back().row_end = y + 1;
    band_of_row_.push_back(static_cast<std::uint32_t>(bands_.size() - 1));
  }
}

std::pair<std::int64_t, std::int64_t> TileBlender::tiles_of(const Band& band) const {
  const auto first_tile = [&](std::size_t row) { return row < rows_.size() ? rows_[row].first_tile : tile_count(); };
  return {first_tile(band.first_row), first_tile(band.last_row)};
}

void TileBlender::clear_uncovered(std::int64_t row_begin, std::int64_t row_end) const {
  for (const Band& band : bands_) {
    const std::int64_t begin = std::max(row_begin, band.row_begin);
    const std::int64_t end = std::min(row_end, band.row_end);
    if (begin >= end) continue;
    for (const ColumnRun& run : uncovered_columns(band)) {
      for (std::int64_t channel = 0; channel < map_.shape[0]; ++channel) {
        for (std::int64_t y = begin; y < end; ++y) {
          std::fill(&map_(channel, y, run.begin), &map_(channel, y, run.begin) + (run.end - run.begin), 0.0F);
        }
      }
    }
  }
}

std::vector<TileBlender::ColumnRun> TileBlender::uncovered_columns(const Band& band) const {
  std::vector<ColumnRun> covered;
  for (std::size_t r = band.first_row; r < band.last_row; ++r) {
    for (const TileColumns& tile : pattern(r).tiles) covered.push_back({tile.start, tile.start + tile.count});
  }
  std::sort(covered.begin(), covered.end(), [](const ColumnRun& a, const ColumnRun& b) { return a.begin < b.begin; });
  covered.push_back({grid_.shape[1], grid_.shape[1]});
  std::vector<ColumnRun> runs;
  std::int64_t covered_to = 0;
  for (const ColumnRun& run : covered) {
    if (run.begin > covered_to) runs.push_back({covered_to, run.begin});
    covered_to = std::max(covered_to, run.end);
  }
  return runs;
}

void TileBlender::add(std::int64_t n, TensorView<const float, 3> tile) {
  if (!pending_) pending_ = make_pending(grid_.tile_shape[0], waiting_rows_);
  const std::int64_t begin = grid_.row_starts[tiles_[static_cast<std::size_t>(n)].row];
  const std::int64_t end = std::min(begin + grid_.tile_shape[0], grid_.shape[0]);
  for (std::int64_t y = begin; y < end;) {
    const std::int64_t next = std::min(end, band(y).row_end);
    add_rows(n, y, next, tile, *pending_);
    y = next;
  }
  end_streaming();
}

TileBlender::Pending TileBlender::make_pending(std::int64_t carried_rows, std::int64_t waiting_rows) const {
  const std::int64_t waiting = map_.shape[0] * waiting_rows * waiting_pitch_;
  const std::int64_t carried = map_.shape[0] * carried_rows * carried_pitch_;
  KeptMemory memory(static_cast<std::size_t>(waiting + carried + grid_.tile_shape[1] + kLineFloats) * sizeof(float));
  auto* data = static_cast<float*>(memory.data());
  return {std::move(memory), carried_rows, waiting_rows, data + waiting, data, data + waiting + carried};
}

void TileBlender::add_rows(std::int64_t n, std::int64_t row_begin, std::int64_t row_end,
                           TensorView<const float, 3> tile, const Pending& pending) const {
  const Tile& t = tiles_[static_cast<std::size_t>(n)];
  const TileColumns& columns = pattern(t.row).tiles[t.place];
  const Band& rows = band(row_begin);
  const std::int64_t tile_begin = grid_.row_starts[t.row];
  const std::int64_t tile_end = std::min(tile_begin + grid_.tile_shape[0], grid_.shape[0]);
  const bool is_dense = tile.strides[1] == grid_.tile_shape[1];
  for (std::int64_t channel = 0; channel < map_.shape[0]; ++channel) {
    float* all_carried = pending.carried + channel * pending.carried_rows * carried_pitch_;
    float* all_waiting = pending.waiting + channel * pending.waiting_rows * waiting_pitch_ + columns.start;
    TileRow row{};
    row.streams = streams_;
    row.room = pending.room;
    row.is_first = rows.first_row == t.row;
    row.is_last = rows.last_row == t.row + 1;
    for (std::int64_t y = row_begin; y < row_end; ++y) {
      const std::int64_t ahead = y + kRowsAhead;
      row.from = &tile(channel, y - tile_begin, 0);
      row.to = &map_(channel, y, columns.start);
      if (!is_dense && ahead < tile_end) prefetch_row(row.from + kRowsAhead * tile.strides[1], columns.count);
      if (!rows.is_uniform) {
        add_mixed_row(t, y, row.from, row.to);
        continue;
      }
      if (!row.is_first && ahead < row_end) {
        prefetch_row(all_waiting + ahead % pending.waiting_rows * waiting_pitch_ + columns.earlier_end,
                     columns.count - columns.earlier_end);
      }
      row.factor = row_weight(t.row, y) / row_totals_[static_cast<std::size_t>(y)];
      row.carried = all_carried + y % pending.carried_rows * carried_pitch_;
      row.waiting = all_waiting + y % pending.waiting_rows * waiting_pitch_;
      add_tile_row(columns, row);
    }
  }
}

// Rows of tiles with different columns present meet here: weights and coverage pixel by pixel.
void TileBlender::add_mixed_row(const Tile& tile, std::int64_t y, const float* from, float* to) const {
  const Band& rows = band(y);
  const TileColumns& columns = pattern(tile.row).tiles[tile.place];
  const float own_row = row_weight(tile.row, y);
  for (std::int64_t x = 0; x < columns.count; ++x) {
    const auto column = static_cast<std::size_t>(columns.start + x);
    float total = 0.0F;
    bool covered = x < columns.earlier_end;
    for (std::size_t r = rows.first_row; r < rows.last_row; ++r) {
      total += row_weight(r, y) * pattern(r).totals[column];
      covered |= r < tile.row && pattern(r).totals[column] > 0.0F;
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

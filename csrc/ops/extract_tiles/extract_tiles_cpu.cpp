// Each image pixel is read once and each tile element written once: the work goes by grid rows, not by tiles.
// A grid row is averaged over the columns that any of its tiles needs (down into a row of sums, then across),
// normalised, masked, and copied into every tile that holds it. Overlaps therefore cost copies of finished
// values and no second average.

#include <algorithm>
#include <cstring>
#include <limits>
#include <vector>

#include "core/area_averager.hpp"
#include "core/mask_spread.hpp"
#include "core/parallel_for.hpp"
#include "core/prefetch.hpp"
#include "core/simd.hpp"
#include "ops/extract_tiles/extract_tiles.hpp"
#include "ops/extract_tiles/extract_tiles_impl.hpp"

namespace lcx::cpu {
namespace {

LCX_SIMD_CLONES void normalise_row(float* row, AffineClip clip, std::int64_t count) {
  for (std::int64_t x = 0; x < count; ++x) row[x] = apply(clip, row[x]);
}

struct ColumnSpan {
  std::int64_t begin;
  std::int64_t end;
};

// Source pixels that are worth a thread of their own: some 0.2 ms of work.
constexpr std::int64_t kPixelsPerThread = 1 << 20;

template <typename T>
class TileWriter {
 public:
  /// image  [H, W], of which one grid pixel covers `scale` pixels
  TileWriter(TensorView<const T, 2> image, std::array<double, 2> scale, const TileGrid& grid,
             const std::optional<Normalisation>& normalisation, TensorView<const std::uint8_t, 2> mask,
             TensorView<float, 4> tiles)
      : grid_(grid),
        pixels_per_grid_pixel_(std::max(1.0, scale[0] * scale[1])),
        averager_(image, scale, first_column(), end_column()),
        mask_(mask, grid.scale, grid.image_shape, grid.shape[1]),
        tiles_(tiles),
        normalise_(normalisation.has_value()) {
    if (normalise_) {
      clip_ = affine_clip(*normalisation);
      dark_ = clip_.bias;
    }
    std::int64_t n = 0;
    for (std::size_t r = 0; r < grid.row_starts.size(); ++r) {
      first_tile_.push_back(n);
      for (std::size_t c = 0; c < grid.column_starts.size(); ++c) n += grid.has_tile(r, c) ? 1 : 0;
    }
  }

  /// Grid rows worth a thread of their own.
  std::int64_t grain() const {
    const double pixels = static_cast<double>(end_column() - first_column()) * pixels_per_grid_pixel_;
    return std::max<std::int64_t>(1, static_cast<std::int64_t>(kPixelsPerThread / pixels));
  }

  void write_rows(std::int64_t begin, std::int64_t end) const {
    std::vector<float> values(static_cast<std::size_t>(grid_.shape[1]));
    auto scratch = averager_.make_scratch();
    for (std::int64_t y = begin; y < end; ++y) {
      const ColumnSpan span = needed_columns(y);
      if (span.begin >= span.end) continue;
      // A lone tile's row is made in place; values are indexed by grid column.
      float* row = grid_.present.size() == 1 ? tile_row(0, 0, y) - grid_.column_starts[0] : values.data();
      if (y < grid_.shape[0]) {
        averager_.prefetch(y + kRowsAhead, span.begin, span.end);
        averager_.average(y, span.begin, span.end, scratch, row);
        finish_row(y, span, row);
      } else {
        std::fill(row + span.begin, row + span.end, dark_);
      }
      copy_to_tiles(y, row);
    }
  }

 private:
  std::int64_t first_column() const { return grid_.column_starts.front(); }
  std::int64_t end_column() const { return std::min(grid_.column_starts.back() + grid_.tile_shape[1], grid_.shape[1]); }

  bool row_has(std::size_t r, std::int64_t y) const {
    return y >= grid_.row_starts[r] && y < grid_.row_starts[r] + grid_.tile_shape[0];
  }

  float* tile_row(std::int64_t n, std::size_t r, std::int64_t y) const {
    return tiles_.data + n * tiles_.strides[0] + (y - grid_.row_starts[r]) * tiles_.strides[2];
  }

  ColumnSpan needed_columns(std::int64_t y) const {
    ColumnSpan span{std::numeric_limits<std::int64_t>::max(), 0};
    for (std::size_t r = 0; r < grid_.row_starts.size(); ++r) {
      if (!row_has(r, y)) continue;
      for (std::size_t c = 0; c < grid_.column_starts.size(); ++c) {
        if (!grid_.has_tile(r, c)) continue;
        span.begin = std::min(span.begin, grid_.column_starts[c]);
        span.end = std::max(span.end, std::min(grid_.column_starts[c] + grid_.tile_shape[1], grid_.shape[1]));
      }
    }
    return span;
  }

  void finish_row(std::int64_t y, ColumnSpan span, float* values) const {
    if (normalise_) normalise_row(values + span.begin, clip_, span.end - span.begin);
    if (mask_.empty()) return;
    mask_.for_each_run(y, span.begin, span.end, false,
                       [&](std::int64_t begin, std::int64_t end) { std::fill(values + begin, values + end, dark_); });
  }

  void copy_to_tiles(std::int64_t y, const float* values) const {
    const std::int64_t width = grid_.tile_shape[1];
    for (std::size_t r = 0; r < grid_.row_starts.size(); ++r) {
      if (!row_has(r, y)) continue;
      std::int64_t n = first_tile_[r];
      for (std::size_t c = 0; c < grid_.column_starts.size(); ++c) {
        if (!grid_.has_tile(r, c)) continue;
        float* to = tile_row(n++, r, y);
        const std::int64_t start = grid_.column_starts[c];
        const std::int64_t inside = std::clamp<std::int64_t>(grid_.shape[1] - start, 0, width);
        if (to != values + start) std::memcpy(to, values + start, static_cast<std::size_t>(inside) * sizeof(float));
        std::fill(to + inside, to + width, dark_);
      }
    }
  }

  const TileGrid& grid_;
  double pixels_per_grid_pixel_;
  AreaAverager<T> averager_;
  MaskSpread mask_;
  TensorView<float, 4> tiles_;
  bool normalise_;
  AffineClip clip_{};
  float dark_ = 0.0F;
  std::vector<std::int64_t> first_tile_;
};

template <typename T>
void write_tiles(const TileWriter<T>& writer, const TileGrid& grid, int threads) {
  const std::int64_t begin = grid.row_starts.front();
  const std::int64_t count = grid.row_starts.back() + grid.tile_shape[0] - begin;
  parallel_for(count, writer.grain(), threads,
               [&](std::int64_t first, std::int64_t last) { writer.write_rows(begin + first, begin + last); });
}

}  // namespace

template <typename T>
void extract_tiles(TensorView<const T, 2> image, const TileGrid& grid,
                   const std::optional<Normalisation>& normalisation, TensorView<const std::uint8_t, 2> mask,
                   TensorView<float, 4> tiles, int threads) {
  write_tiles(TileWriter<T>(image, grid.scale, grid, normalisation, mask, tiles), grid, threads);
}

void cut_tiles(TensorView<const float, 2> averages, const TileGrid& grid,
               const std::optional<Normalisation>& normalisation, TensorView<const std::uint8_t, 2> mask,
               TensorView<float, 4> tiles, int threads) {
  write_tiles(TileWriter<float>(averages, {1.0, 1.0}, grid, normalisation, mask, tiles), grid, threads);
}

#define LCX_INSTANTIATE(T)                                                                                     \
  template void extract_tiles<T>(TensorView<const T, 2>, const TileGrid&, const std::optional<Normalisation>&, \
                                 TensorView<const std::uint8_t, 2>, TensorView<float, 4>, int)
LCX_INSTANTIATE(std::uint8_t);
LCX_INSTANTIATE(std::uint16_t);
LCX_INSTANTIATE(std::int16_t);
LCX_INSTANTIATE(float);

}  // namespace lcx::cpu

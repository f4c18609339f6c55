// Each image pixel is read once and each tile element written once: the work goes by grid rows, not by tiles.
// A grid row is averaged over the columns that any of its tiles needs (down into a row of sums, then across),
// normalised, masked, and copied into every tile that holds it. Overlaps therefore cost copies of finished
// values and no second average.

#include <algorithm>
#include <cstring>
#include <limits>
#include <vector>

#include "core/parallel_for.hpp"
#include "core/simd.hpp"
#include "ops/extract_tiles/extract_tiles.hpp"
#include "ops/extract_tiles/extract_tiles_impl.hpp"

namespace lcx::cpu {
namespace {

// target_clones does not apply to templates, so the four pixel types are written out.
#define LCX_ROW_LOOPS(T)                                                                        \
  LCX_SIMD_CLONES void convert_row(const T* row, float* values, std::int64_t count) {           \
    for (std::int64_t x = 0; x < count; ++x) values[x] = static_cast<float>(row[x]);            \
  }                                                                                             \
  LCX_SIMD_CLONES void start_row(const T* row, float weight, float* sums, std::int64_t count) { \
    for (std::int64_t x = 0; x < count; ++x) sums[x] = weight * static_cast<float>(row[x]);     \
  }                                                                                             \
  LCX_SIMD_CLONES void add_row(const T* row, float weight, float* sums, std::int64_t count) {   \
    for (std::int64_t x = 0; x < count; ++x) sums[x] += weight * static_cast<float>(row[x]);    \
  }                                                                                             \
  LCX_SIMD_CLONES void add_whole_row(const T* row, float* sums, std::int64_t count) {           \
    for (std::int64_t x = 0; x < count; ++x) sums[x] += static_cast<float>(row[x]);             \
  }
LCX_ROW_LOOPS(std::uint8_t)
LCX_ROW_LOOPS(std::uint16_t)
LCX_ROW_LOOPS(std::int16_t)
LCX_ROW_LOOPS(float)

LCX_SIMD_CLONES void scale_row(float* row, float scale, std::int64_t count) {
  for (std::int64_t x = 0; x < count; ++x) row[x] *= scale;
}

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
  TileWriter(TensorView<const T, 2> image, const TileGrid& grid, const std::optional<Normalisation>& normalisation,
             TensorView<const std::uint8_t, 2> mask, TensorView<float, 4> tiles)
      : image_(image), grid_(grid), mask_(mask), tiles_(tiles), normalise_(normalisation.has_value()) {
    if (normalise_) {
      clip_ = affine_clip(*normalisation);
      dark_ = clip_.bias;
    }
    is_unscaled_ = grid.scale[0] == 1.0 && grid.scale[1] == 1.0;
    const std::int64_t end = std::min(grid.column_starts.back() + grid.tile_shape[1], grid.shape[1]);
    for (std::int64_t x = first_column(); x < end; ++x) {
      if (!is_unscaled_) taps_.push_back(area_taps(x, grid.scale[1], image.shape[1]));
      if (!mask.empty()) mask_columns_.push_back(mask_index(x, grid.scale[1], image.shape[1], mask.shape[1]));
    }
    std::int64_t n = 0;
    for (std::size_t r = 0; r < grid.row_starts.size(); ++r) {
      first_tile_.push_back(n);
      for (std::size_t c = 0; c < grid.column_starts.size(); ++c) n += grid.has_tile(r, c) ? 1 : 0;
    }
  }

  /// Grid rows worth a thread of their own.
  std::int64_t grain() const {
    const double pixels_per_row =
        static_cast<double>(grid_.column_starts.back() + grid_.tile_shape[1] - first_column()) *
        std::max(1.0, grid_.scale[0] * grid_.scale[1]);
    return std::max<std::int64_t>(1, static_cast<std::int64_t>(kPixelsPerThread / pixels_per_row));
  }

  void write_rows(std::int64_t begin, std::int64_t end) const {
    std::vector<float> values(static_cast<std::size_t>(grid_.shape[1]));
    std::vector<float> sums(is_unscaled_ ? 0 : static_cast<std::size_t>(image_.shape[1]));
    std::vector<T> gathered(image_.has_dense_rows() ? 0 : static_cast<std::size_t>(image_.shape[1]));
    for (std::int64_t y = begin; y < end; ++y) {
      const ColumnSpan span = needed_columns(y);
      if (span.begin >= span.end) continue;
      // A lone tile's row is made in place; values are indexed by grid column.
      float* row = grid_.present.size() == 1 ? tile_row(0, 0, y) - grid_.column_starts[0] : values.data();
      if (y < grid_.shape[0]) {
        average_row(y, span, sums, gathered, row);
        finish_row(y, span, row);
      } else {
        std::fill(row + span.begin, row + span.end, dark_);
      }
      copy_to_tiles(y, row);
    }
  }

 private:
  std::int64_t first_column() const { return grid_.column_starts.front(); }

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

  const T* dense_row(std::int64_t y, std::int64_t begin, std::int64_t end, std::vector<T>& gathered) const {
    if (image_.has_dense_rows()) return image_.row(y) + begin;
    for (std::int64_t x = begin; x < end; ++x) gathered[static_cast<std::size_t>(x - begin)] = image_(y, x);
    return gathered.data();
  }

  void average_row(std::int64_t y, ColumnSpan span, std::vector<float>& sums, std::vector<T>& gathered,
                   float* values) const {
    if (is_unscaled_) {
      convert_row(dense_row(y, span.begin, span.end, gathered), values + span.begin, span.end - span.begin);
      return;
    }
    const Taps rows = area_taps(y, grid_.scale[0], image_.shape[0]);
    const Taps* taps = taps_.data() - first_column();
    const std::int64_t begin = taps[span.begin].first;
    const std::int64_t end = taps[span.end - 1].first + taps[span.end - 1].count;
    const std::int64_t count = end - begin;
    start_row(dense_row(rows.first, begin, end, gathered), rows.first_weight, sums.data(), count);
    for (std::int64_t k = 1; k + 1 < rows.count; ++k) {
      add_whole_row(dense_row(rows.first + k, begin, end, gathered), sums.data(), count);
    }
    if (rows.count > 1) {
      add_row(dense_row(rows.first + rows.count - 1, begin, end, gathered), rows.last_weight, sums.data(), count);
      scale_row(sums.data(), rows.scale, count);
    }
    for (std::int64_t x = span.begin; x < span.end; ++x) {
      const float* from = sums.data() + (taps[x].first - begin);
      float sum = from[0] * taps[x].first_weight;
      for (std::int64_t k = 1; k + 1 < taps[x].count; ++k) sum += from[k];
      if (taps[x].count > 1) sum = (sum + from[taps[x].count - 1] * taps[x].last_weight) * taps[x].scale;
      values[x] = sum;
    }
  }

  void finish_row(std::int64_t y, ColumnSpan span, float* values) const {
    if (normalise_) normalise_row(values + span.begin, clip_, span.end - span.begin);
    if (mask_.empty()) return;
    const std::int64_t mask_y = mask_index(y, grid_.scale[0], image_.shape[0], mask_.shape[0]);
    const std::int64_t* mask_columns = mask_columns_.data() - first_column();
    for (std::int64_t x = span.begin; x < span.end; ++x) {
      if (!mask_(mask_y, mask_columns[x])) values[x] = dark_;
    }
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

  TensorView<const T, 2> image_;
  const TileGrid& grid_;
  TensorView<const std::uint8_t, 2> mask_;
  TensorView<float, 4> tiles_;
  bool normalise_;
  bool is_unscaled_ = false;
  AffineClip clip_{};
  float dark_ = 0.0F;
  // Indexed by grid column from first_column() on.
  std::vector<Taps> taps_;
  std::vector<std::int64_t> mask_columns_;
  std::vector<std::int64_t> first_tile_;
};

}  // namespace

template <typename T>
void extract_tiles(TensorView<const T, 2> image, const TileGrid& grid,
                   const std::optional<Normalisation>& normalisation, TensorView<const std::uint8_t, 2> mask,
                   TensorView<float, 4> tiles, int threads) {
  const TileWriter<T> writer(image, grid, normalisation, mask, tiles);
  const std::int64_t begin = grid.row_starts.front();
  const std::int64_t count = grid.row_starts.back() + grid.tile_shape[0] - begin;
  parallel_for(count, writer.grain(), threads,
               [&](std::int64_t first, std::int64_t last) { writer.write_rows(begin + first, begin + last); });
}

#define LCX_INSTANTIATE(T)                                                                                     \
  template void extract_tiles<T>(TensorView<const T, 2>, const TileGrid&, const std::optional<Normalisation>&, \
                                 TensorView<const std::uint8_t, 2>, TensorView<float, 4>, int)
LCX_INSTANTIATE(std::uint8_t);
LCX_INSTANTIATE(std::uint16_t);
LCX_INSTANTIATE(std::int16_t);
LCX_INSTANTIATE(float);

}  // namespace lcx::cpu

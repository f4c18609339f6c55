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
    for (std::int64_t x = 0; x < grid.shape[1]; ++x) {
      taps_.push_back(area_taps(x, grid.scale[1], image.shape[1]));
      if (!mask.empty()) {
        mask_columns_.push_back(mask_index(x, grid.scale[1], image.shape[1], mask.shape[1]));
      }
    }
    std::int64_t n = 0;
    for (std::size_t r = 0; r < grid.row_starts.size(); ++r) {
      first_tile_.push_back(n);
      for (std::size_t c = 0; c < grid.column_starts.size(); ++c) n += grid.has_tile(r, c) ? 1 : 0;
    }
  }

  void write_rows(std::int64_t begin, std::int64_t end) {
    std::vector<float> values(static_cast<std::size_t>(grid_.shape[1]));
    std::vector<float> sums(static_cast<std::size_t>(image_.shape[1]));
    std::vector<T> gathered(image_.has_dense_rows() ? 0 : static_cast<std::size_t>(image_.shape[1]));
    for (std::int64_t y = begin; y < end; ++y) {
      const ColumnSpan span = needed_columns(y);
      if (span.begin >= span.end) continue;
      if (y < grid_.shape[0]) {
        average_row(y, span, sums, gathered, values.data());
        finish_row(y, span, values.data());
      } else {
        std::fill(values.begin(), values.end(), dark_);
      }
      copy_to_tiles(y, values.data());
    }
  }

 private:
  bool row_has(std::size_t r, std::int64_t y) const {
    return y >= grid_.row_starts[r] && y < grid_.row_starts[r] + grid_.tile_shape[0];
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
    const Taps rows = area_taps(y, grid_.scale[0], image_.shape[0]);
    const Taps& left = taps_[static_cast<std::size_t>(span.begin)];
    const Taps& right = taps_[static_cast<std::size_t>(span.end - 1)];
    const std::int64_t begin = left.first;
    const std::int64_t count = right.first + right.count - begin;
    start_row(dense_row(rows.first, begin, begin + count, gathered), rows.first_weight, sums.data(), count);
    for (std::int64_t k = 1; k + 1 < rows.count; ++k) {
      add_whole_row(dense_row(rows.first + k, begin, begin + count, gathered), sums.data(), count);
    }
    if (rows.count > 1) {
      add_row(dense_row(rows.first + rows.count - 1, begin, begin + count, gathered), rows.last_weight, sums.data(),
              count);
      scale_row(sums.data(), rows.scale, count);
    }
    for (std::int64_t x = span.begin; x < span.end; ++x) {
      const Taps& taps = taps_[static_cast<std::size_t>(x)];
      const float* from = sums.data() + (taps.first - begin);
      float sum = from[0] * taps.first_weight;
      for (std::int64_t k = 1; k + 1 < taps.count; ++k) sum += from[k];
      if (taps.count > 1) sum = (sum + from[taps.count - 1] * taps.last_weight) * taps.scale;
      values[x] = sum;
    }
  }

  void finish_row(std::int64_t y, ColumnSpan span, float* values) const {
    if (normalise_) normalise_row(values + span.begin, clip_, span.end - span.begin);
    if (mask_.empty()) return;
    const std::int64_t mask_y = mask_index(y, grid_.scale[0], image_.shape[0], mask_.shape[0]);
    for (std::int64_t x = span.begin; x < span.end; ++x) {
      if (!mask_(mask_y, mask_columns_[static_cast<std::size_t>(x)])) values[x] = dark_;
    }
  }

  void copy_to_tiles(std::int64_t y, const float* values) const {
    const std::int64_t width = grid_.tile_shape[1];
    for (std::size_t r = 0; r < grid_.row_starts.size(); ++r) {
      if (!row_has(r, y)) continue;
      std::int64_t n = first_tile_[r];
      for (std::size_t c = 0; c < grid_.column_starts.size(); ++c) {
        if (!grid_.has_tile(r, c)) continue;
        float* to = tiles_.data + n++ * tiles_.strides[0] + (y - grid_.row_starts[r]) * tiles_.strides[2];
        const std::int64_t start = grid_.column_starts[c];
        const std::int64_t inside = std::clamp<std::int64_t>(grid_.shape[1] - start, 0, width);
        std::memcpy(to, values + start, static_cast<std::size_t>(inside) * sizeof(float));
        std::fill(to + inside, to + width, dark_);
      }
    }
  }

  TensorView<const T, 2> image_;
  const TileGrid& grid_;
  TensorView<const std::uint8_t, 2> mask_;
  TensorView<float, 4> tiles_;
  bool normalise_;
  AffineClip clip_{};
  float dark_ = 0.0F;
  std::vector<Taps> taps_;
  std::vector<std::int64_t> mask_columns_;
  std::vector<std::int64_t> first_tile_;
};

}  // namespace

template <typename T>
void extract_tiles(TensorView<const T, 2> image, const TileGrid& grid,
                   const std::optional<Normalisation>& normalisation, TensorView<const std::uint8_t, 2> mask,
                   TensorView<float, 4> tiles, int threads) {
  const std::int64_t end = grid.row_starts.back() + grid.tile_shape[0];
  TileWriter<T> writer(image, grid, normalisation, mask, tiles);
  parallel_for(end, 16, threads, [&](std::int64_t first, std::int64_t last) { writer.write_rows(first, last); });
}

#define LCX_INSTANTIATE(T)                                                                                     \
  template void extract_tiles<T>(TensorView<const T, 2>, const TileGrid&, const std::optional<Normalisation>&, \
                                 TensorView<const std::uint8_t, 2>, TensorView<float, 4>, int)
LCX_INSTANTIATE(std::uint8_t);
LCX_INSTANTIATE(std::uint16_t);
LCX_INSTANTIATE(std::int16_t);
LCX_INSTANTIATE(float);

}  // namespace lcx::cpu

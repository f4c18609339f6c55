// Each map pixel is written once and each tile element read once. A map row is summed in a row buffer that
// stays in the first-level cache: weights are separable, so they are two short tables and no image of weights
// exists.

#include <algorithm>
#include <vector>

#include "core/parallel_for.hpp"
#include "core/simd.hpp"
#include "ops/blend_tiles/blend_tiles.hpp"
#include "ops/blend_tiles/blend_tiles_impl.hpp"

namespace lcx::cpu {
namespace {

LCX_SIMD_CLONES void add_weights(const float* weights, float row_weight, float* sums, std::int64_t count) {
  for (std::int64_t x = 0; x < count; ++x) sums[x] += row_weight * weights[x];
}

LCX_SIMD_CLONES void add_weighted(const float* values, const float* weights, float row_weight, float* sums,
                                  std::int64_t count) {
  for (std::int64_t x = 0; x < count; ++x) sums[x] += row_weight * weights[x] * values[x];
}

// Every weight is positive, so a zero total means that no tile covers the pixel.
LCX_SIMD_CLONES void divide_row(const float* sums, const float* totals, float* out, std::int64_t count) {
  for (std::int64_t x = 0; x < count; ++x) {
    const float total = totals[x] > 0.0F ? totals[x] : 1.0F;
    out[x] = sums[x] / total;
  }
}

class RowBlender {
 public:
  RowBlender(TensorView<const float, 4> tiles, const TileGrid& grid, TileWeights weights,
             TensorView<const std::uint8_t, 2> mask, TensorView<float, 3> map)
      : tiles_(tiles), grid_(grid), mask_(mask), map_(map) {
    for (std::int64_t y = 0; y < grid.tile_shape[0]; ++y) {
      row_weights_.push_back(tile_weight(weights, y, grid.tile_shape[0]));
    }
    for (std::int64_t x = 0; x < grid.tile_shape[1]; ++x) {
      column_weights_.push_back(tile_weight(weights, x, grid.tile_shape[1]));
    }
    if (!mask.empty()) {
      for (std::int64_t x = 0; x < grid.shape[1]; ++x) {
        mask_columns_.push_back(mask_index(x, grid.scale[1], grid.image_shape[1], mask.shape[1]));
      }
    }
  }

  void blend_rows(std::int64_t begin, std::int64_t end) const {
    std::vector<float> totals(static_cast<std::size_t>(grid_.shape[1]));
    std::vector<float> sums(static_cast<std::size_t>(grid_.shape[1]));
    for (std::int64_t y = begin; y < end; ++y) {
      std::fill(totals.begin(), totals.end(), 0.0F);
      for_each_tile(y, [&](std::int64_t, std::int64_t tile_row, std::int64_t start, std::int64_t count) {
        add_weights(column_weights_.data(), row_weights_[static_cast<std::size_t>(tile_row)], totals.data() + start,
                    count);
      });
      for (std::int64_t channel = 0; channel < map_.shape[0]; ++channel) {
        std::fill(sums.begin(), sums.end(), 0.0F);
        for_each_tile(y, [&](std::int64_t n, std::int64_t tile_row, std::int64_t start, std::int64_t count) {
          add_weighted(&tiles_(n, channel, tile_row, 0), column_weights_.data(),
                       row_weights_[static_cast<std::size_t>(tile_row)], sums.data() + start, count);
        });
        float* out = &map_(channel, y, 0);
        divide_row(sums.data(), totals.data(), out, grid_.shape[1]);
        clear_outside_mask(y, out);
      }
    }
  }

 private:
  template <typename Visit>
  void for_each_tile(std::int64_t y, const Visit& visit) const {
    std::int64_t n = 0;
    for (std::size_t r = 0; r < grid_.row_starts.size(); ++r) {
      const std::int64_t tile_row = y - grid_.row_starts[r];
      const bool inside = tile_row >= 0 && tile_row < grid_.tile_shape[0];
      for (std::size_t c = 0; c < grid_.column_starts.size(); ++c) {
        if (!grid_.has_tile(r, c)) continue;
        const std::int64_t start = grid_.column_starts[c];
        if (inside) visit(n, tile_row, start, std::min(grid_.tile_shape[1], grid_.shape[1] - start));
        ++n;
      }
    }
  }

  void clear_outside_mask(std::int64_t y, float* out) const {
    if (mask_.empty()) return;
    const std::int64_t mask_y = mask_index(y, grid_.scale[0], grid_.image_shape[0], mask_.shape[0]);
    for (std::int64_t x = 0; x < grid_.shape[1]; ++x) {
      if (!mask_(mask_y, mask_columns_[static_cast<std::size_t>(x)])) out[x] = 0.0F;
    }
  }

  TensorView<const float, 4> tiles_;
  const TileGrid& grid_;
  TensorView<const std::uint8_t, 2> mask_;
  TensorView<float, 3> map_;
  std::vector<float> row_weights_;
  std::vector<float> column_weights_;
  std::vector<std::int64_t> mask_columns_;
};

}  // namespace

void blend_tiles(TensorView<const float, 4> tiles, const TileGrid& grid, TileWeights weights,
                 TensorView<const std::uint8_t, 2> mask, TensorView<float, 3> map, int threads) {
  const RowBlender blender(tiles, grid, weights, mask, map);
  parallel_for(grid.shape[0], 16, threads,
               [&](std::int64_t begin, std::int64_t end) { blender.blend_rows(begin, end); });
}

}  // namespace lcx::cpu

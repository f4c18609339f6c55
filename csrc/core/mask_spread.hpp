#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "core/tile_grid.hpp"

namespace lcx {

/// A mask spread over an image, seen from a grid (Note [Mask lookup]), by runs of equal grid pixels: a coarse mask has
/// few, and a row of a map is cleared by runs many times faster than pixel by pixel.
class MaskSpread {
 public:
  /// mask         [h, w], nonzero = keep; must outlive this. Empty: everything is kept.
  /// scale, image_shape, width  of the grid
  MaskSpread(TensorView<const std::uint8_t, 2> mask, std::array<double, 2> scale,
             std::array<std::int64_t, 2> image_shape, std::int64_t width);

  bool empty() const { return mask_.empty(); }

  /// Calls visit(begin, end) for each run of grid pixels of row y, within [first, last), whose mask pixel is nonzero
  /// exactly if `kept`.
  template <typename Visit>
  void for_each_run(std::int64_t y, std::int64_t first, std::int64_t last, bool kept, const Visit& visit) const {
    const std::int64_t row = mask_index(y, scale_, image_height_, mask_.shape[0]);
    for (std::int64_t begin = 0; begin < mask_.shape[1];) {
      const std::int64_t end = run_end(row, begin);
      if ((mask_(row, begin) != 0) == kept) {
        const std::int64_t from = std::max(first, starts_[static_cast<std::size_t>(begin)]);
        const std::int64_t to = std::min(last, starts_[static_cast<std::size_t>(end)]);
        if (from < to) visit(from, to);
      }
      begin = end;
    }
  }

 private:
  // One past the last mask column of the run that `begin` is in.
  std::int64_t run_end(std::int64_t row, std::int64_t begin) const;

  TensorView<const std::uint8_t, 2> mask_;
  double scale_;
  std::int64_t image_height_;
  std::vector<std::int64_t> starts_;  // [w + 1]: first grid column that looks up mask column m or a later one
};

}  // namespace lcx

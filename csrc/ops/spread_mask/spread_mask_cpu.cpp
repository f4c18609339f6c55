#include <algorithm>
#include <cstring>

#include "core/mask_spread.hpp"
#include "ops/spread_mask/spread_mask.hpp"

namespace lcx::cpu {

void spread_mask(TensorView<const std::uint8_t, 2> mask, std::array<double, 2> scale,
                 std::array<std::int64_t, 2> image_shape, TensorView<std::uint8_t, 2> spread) {
  const std::int64_t width = spread.shape[1];
  const MaskSpread runs(mask, scale, image_shape, width);
  std::int64_t last_row = -1;
  for (std::int64_t y = 0; y < spread.shape[0]; ++y) {
    std::uint8_t* row = spread.row(y);
    const std::int64_t mask_row = mask_index(y, scale[0], image_shape[0], mask.shape[0]);
    // A mask much coarser than the grid gives the same row many times over.
    if (mask_row == last_row) {
      std::memcpy(row, spread.row(y - 1), static_cast<std::size_t>(width));
      continue;
    }
    last_row = mask_row;
    std::fill(row, row + width, std::uint8_t{0});
    runs.for_each_run(y, 0, width, true, [&](std::int64_t begin, std::int64_t end) {
      std::fill(row + begin, row + end, std::uint8_t{1});
    });
  }
}

}  // namespace lcx::cpu

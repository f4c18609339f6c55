#include "ops/extract_tiles/extract_tiles.hpp"

#include <cmath>

#include "core/error.hpp"

namespace lcx {

namespace {

// What both sources of tiles, images and averages, must meet.
template <typename T>
void check(TensorView<const T, 2> image, const TileGrid& grid, const std::optional<Normalisation>& normalisation,
           TensorView<const std::uint8_t, 2> mask, TensorView<float, 4> tiles) {
  const std::array<std::int64_t, 4> expected{grid.tile_count(), 1, grid.tile_shape[0], grid.tile_shape[1]};
  require_argument(tiles.shape == expected, "tiles are ", shape_text(tiles.shape), "; the grid needs ",
                   shape_text(expected));
  require_argument(tiles.device == image.device, "image is on ", to_string(image.device), ", tiles on ",
                   to_string(tiles.device), "; both must be on one device");
  require_argument(mask.empty() || mask.device == image.device, "image is on ", to_string(image.device), ", mask on ",
                   to_string(mask.device), "; both must be on one device");
  if (!normalisation) return;
  const auto& n = *normalisation;
  require_argument(std::isfinite(n.low) && std::isfinite(n.high) && n.high > n.low, "window low ", n.low, ", high ",
                   n.high, "; both must be finite, high above low");
  require_argument(std::isfinite(n.mean) && std::isfinite(n.deviation) && n.deviation > 0.0F, "mean ", n.mean,
                   ", deviation ", n.deviation, "; both must be finite, the deviation positive");
}

}  // namespace

template <typename T>
void extract_tiles(TensorView<const T, 2> image, const TileGrid& grid,
                   const std::optional<Normalisation>& normalisation, TensorView<const std::uint8_t, 2> mask,
                   TensorView<float, 4> tiles, int threads, Stream stream) {
  require_argument(image.shape == grid.image_shape, "image is ", shape_text(image.shape), "; the grid was planned for ",
                   shape_text(grid.image_shape));
  check(image, grid, normalisation, mask, tiles);
  if (tiles.empty()) return;
  if (image.device.type == DeviceType::kCuda) {
    cuda::extract_tiles<T>(image, grid, normalisation, mask, tiles, stream);
  } else {
    cpu::extract_tiles<T>(image, grid, normalisation, mask, tiles, threads);
  }
}

void cut_tiles(TensorView<const float, 2> averages, const TileGrid& grid,
               const std::optional<Normalisation>& normalisation, TensorView<const std::uint8_t, 2> mask,
               TensorView<float, 4> tiles, int threads) {
  require_argument(averages.shape == grid.shape, "averages are ", shape_text(averages.shape), "; the grid is ",
                   shape_text(grid.shape));
  check(averages, grid, normalisation, mask, tiles);
  require(averages.device.type == DeviceType::kCpu, ErrorCode::kUnsupported,
          "cut_tiles works on the CPU; averages are on ", to_string(averages.device));
  if (tiles.empty()) return;
  cpu::cut_tiles(averages, grid, normalisation, mask, tiles, threads);
}

#define LCX_INSTANTIATE(T)                                                                                     \
  template void extract_tiles<T>(TensorView<const T, 2>, const TileGrid&, const std::optional<Normalisation>&, \
                                 TensorView<const std::uint8_t, 2>, TensorView<float, 4>, int, Stream)
LCX_INSTANTIATE(std::uint8_t);
LCX_INSTANTIATE(std::uint16_t);
LCX_INSTANTIATE(std::int16_t);
LCX_INSTANTIATE(float);

}  // namespace lcx

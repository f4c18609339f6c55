#pragma once

#include <cstdint>
#include <optional>

#include "core/tensor_view.hpp"
#include "core/tile_grid.hpp"

namespace lcx {

/// Maps an averaged pixel value to a network input: (clip((v - low) / (high - low), 0, 1) - mean) /
/// deviation.
struct Normalisation {
  float low = 0.0F;
  float high = 1.0F;
  float mean = 0.0F;
  float deviation = 1.0F;
};

/// Cuts an image into tiles on the model's grid: gather, area average, normalise and pad in one pass.
///
/// image          [H, W] of the grid's image shape; uint8, uint16, int16 or float32
/// grid           from plan_tiles
/// normalisation  or nothing: tiles hold the plain averages, and padding is 0
/// mask           uint8 [h, w] spread over the whole image (Note [Mask lookup]), or empty; where it is 0 the
/// tile
///                holds what `low` maps to (0 without a normalisation)
/// tiles          [N, 1, th, tw] float32, dense, in the order of grid.origins(). Grid pixels outside the
/// image are
///                padded with what `low` maps to.
/// threads        most threads to use; 0 = all available
///
/// A grid pixel is the mean of the image over the area it covers, image pixels on its edge counting by the
/// fraction covered, and only the part inside the image counting.
/// stream         for arrays on a GPU; nothing waits for it
/// Throws Error(kInvalidArgument) if shapes differ from the grid's, devices differ, high <= low, or deviation is
/// not positive.
template <typename T>
void extract_tiles(TensorView<const T, 2> image, const TileGrid& grid,
                   const std::optional<Normalisation>& normalisation, TensorView<const std::uint8_t, 2> mask,
                   TensorView<float, 4> tiles, int threads = 0, Stream stream = {});

/// Cuts tiles from an image that has been averaged before (see ops/resample): what extract_tiles does, less the
/// average.
///
/// averages  [gh, gw] float32, of the grid's shape
/// the rest  as for extract_tiles
/// Throws as extract_tiles, and Error(kUnsupported) for arrays on a GPU.
void cut_tiles(TensorView<const float, 2> averages, const TileGrid& grid,
               const std::optional<Normalisation>& normalisation, TensorView<const std::uint8_t, 2> mask,
               TensorView<float, 4> tiles, int threads = 0);

namespace cpu {
template <typename T>
void extract_tiles(TensorView<const T, 2> image, const TileGrid& grid,
                   const std::optional<Normalisation>& normalisation, TensorView<const std::uint8_t, 2> mask,
                   TensorView<float, 4> tiles, int threads);
void cut_tiles(TensorView<const float, 2> averages, const TileGrid& grid,
               const std::optional<Normalisation>& normalisation, TensorView<const std::uint8_t, 2> mask,
               TensorView<float, 4> tiles, int threads);
}  // namespace cpu

namespace cuda {
template <typename T>
void extract_tiles(TensorView<const T, 2> image, const TileGrid& grid,
                   const std::optional<Normalisation>& normalisation, TensorView<const std::uint8_t, 2> mask,
                   TensorView<float, 4> tiles, Stream stream);
}  // namespace cuda

}  // namespace lcx

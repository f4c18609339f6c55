#pragma once

#include <array>
#include <cstdint>

#include "core/tensor_view.hpp"

namespace lcx {

/// A mask at another resolution: each grid pixel gets the mask pixel under its centre (Note [Mask lookup]).
///
/// mask         [h, w] uint8, nonzero = kept, spread over the whole image
/// scale        image pixels per grid pixel along y and x
/// image_shape  (H, W) of the image
/// spread       [gh, gw] uint8, dense rows; becomes 0 or 1. Both sides at least 1 pixel, or nothing is done.
/// Throws Error(kInvalidArgument) for an empty mask or image, or a scale that is not positive, and Error(kUnsupported)
/// for arrays on a GPU.
void spread_mask(TensorView<const std::uint8_t, 2> mask, std::array<double, 2> scale,
                 std::array<std::int64_t, 2> image_shape, TensorView<std::uint8_t, 2> spread);

namespace cpu {
void spread_mask(TensorView<const std::uint8_t, 2> mask, std::array<double, 2> scale,
                 std::array<std::int64_t, 2> image_shape, TensorView<std::uint8_t, 2> spread);
}  // namespace cpu

}  // namespace lcx

#pragma once

#include <array>
#include <cstdint>

#include "core/tensor_view.hpp"

namespace lcx {

/// Euclidean distance of each pixel's centre to the nearest mask pixel's centre.
///
/// mask      [H, W] uint8, nonzero = foreground
/// spacing   height and width of a pixel, each > 0; distances are in its unit
/// distance  [H, W] float32; 0 inside the mask, infinity where the mask is empty
/// threads   most threads to use; 0 = all
/// Exact: down the columns first, then along each row the lower envelope of the columns' parabolas (Felzenszwalb and
/// Huttenlocher 2012; Meijster et al. 2000). For the CPU.
/// Throws Error(kInvalidArgument) if shapes differ or a spacing is not a positive number.
void distance_transform(TensorView<const std::uint8_t, 2> mask, std::array<double, 2> spacing,
                        TensorView<float, 2> distance, int threads);

namespace cpu {
void distance_transform(TensorView<const std::uint8_t, 2> mask, std::array<double, 2> spacing,
                        TensorView<float, 2> distance, int threads);
}  // namespace cpu

}  // namespace lcx

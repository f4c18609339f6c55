#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "core/tensor_view.hpp"

namespace lcx {

/// Area-averages one image onto several grids. The image comes from memory once however many grids there are: their
/// rows are made in the order in which they need the image's.
///
/// image     [H, W] uint8, uint16, int16 or float32, any strides
/// scales    [K] image pixels per grid pixel along y and x, each within [1/64, 4096]
/// averages  [K] views, float32, dense rows, of the grids' shapes (grid_shape in core/tile_grid.hpp)
/// threads   most threads to use; 0 = all available
/// stream    for arrays on a GPU; nothing waits for it
/// A grid pixel is as extract_tiles defines it.
/// Throws Error(kInvalidArgument) for an empty image, a scale out of range, another shape or another device.
template <typename T>
void resample(TensorView<const T, 2> image, std::span<const std::array<double, 2>> scales,
              std::span<const TensorView<float, 2>> averages, int threads = 0, Stream stream = {});

namespace cpu {
template <typename T>
void resample(TensorView<const T, 2> image, std::span<const std::array<double, 2>> scales,
              std::span<const TensorView<float, 2>> averages, int threads);
}  // namespace cpu

namespace cuda {
template <typename T>
void resample(TensorView<const T, 2> image, std::span<const std::array<double, 2>> scales,
              std::span<const TensorView<float, 2>> averages, Stream stream);
}  // namespace cuda

}  // namespace lcx

#pragma once

#include <cstdint>

#include "core/run_mask.hpp"
#include "core/tensor_view.hpp"

namespace lcx {

/// Numbers the connected components of a mask.
///
/// mask    [H, W] uint8, nonzero = foreground
/// labels  [H, W] int32, dense rows, all 0 on entry (background is never touched); becomes 1 .. count in raster order
///         of each component's first pixel
/// stream  for arrays on a GPU; waited for once, to return the count
/// Returns the number of components. Throws Error(kInvalidArgument) if shapes or devices differ.
std::int32_t label_components(TensorView<const std::uint8_t, 2> mask, Connectivity connectivity,
                              TensorView<std::int32_t, 2> labels, int threads = 0, Stream stream = {});

namespace cpu {
std::int32_t label_components(TensorView<const std::uint8_t, 2> mask, Connectivity connectivity,
                              TensorView<std::int32_t, 2> labels, int threads);
}  // namespace cpu

namespace cuda {
std::int32_t label_components(TensorView<const std::uint8_t, 2> mask, Connectivity connectivity,
                              TensorView<std::int32_t, 2> labels, Stream stream);
}  // namespace cuda

}  // namespace lcx

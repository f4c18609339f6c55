#pragma once

#include <cstdint>

#include "core/tensor_view.hpp"

namespace lcx {

/// Fills holes: background that is not 4-connected to the image's border becomes foreground.
///
/// mask    [H, W] uint8, nonzero = foreground
/// filled  [H, W] uint8, dense rows, all 0 on entry; becomes 1 where filled
/// stream  for arrays on a GPU; nothing waits for it
/// Throws Error(kInvalidArgument) if shapes or devices differ.
void fill_holes(TensorView<const std::uint8_t, 2> mask, TensorView<std::uint8_t, 2> filled, int threads = 0,
                Stream stream = {});

namespace cpu {
void fill_holes(TensorView<const std::uint8_t, 2> mask, TensorView<std::uint8_t, 2> filled, int threads);
}  // namespace cpu

namespace cuda {
void fill_holes(TensorView<const std::uint8_t, 2> mask, TensorView<std::uint8_t, 2> filled, Stream stream);
}  // namespace cuda

}  // namespace lcx

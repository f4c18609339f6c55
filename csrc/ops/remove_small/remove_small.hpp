#pragma once

#include <cstdint>

#include "core/device.hpp"
#include "core/run_mask.hpp"
#include "core/tensor_view.hpp"

namespace lcx {

/// Removes the connected components of fewer pixels than min_area.
///
/// mask  [H, W] uint8, nonzero = foreground
/// kept  [H, W] uint8, dense rows, all 0 on entry; becomes 1 where a pixel stays
/// threads  on the CPU; 0 = all
/// stream  on a GPU
/// Throws Error(kInvalidArgument) if shapes or devices differ or min_area is below 0.
void remove_small(TensorView<const std::uint8_t, 2> mask, std::int64_t min_area, Connectivity connectivity,
                  TensorView<std::uint8_t, 2> kept, int threads = 0, Stream stream = {});

namespace cpu {
void remove_small(TensorView<const std::uint8_t, 2> mask, std::int64_t min_area, Connectivity connectivity,
                  TensorView<std::uint8_t, 2> kept, int threads);
}  // namespace cpu

namespace cuda {
void remove_small(TensorView<const std::uint8_t, 2> mask, std::int64_t min_area, Connectivity connectivity,
                  TensorView<std::uint8_t, 2> kept, Stream stream);
}  // namespace cuda

}  // namespace lcx

#pragma once

#include <cstdint>

#include "core/run_mask.hpp"
#include "core/tensor_view.hpp"

namespace lcx {

/// Removes the connected components of fewer pixels than min_area.
///
/// mask  [H, W] uint8, nonzero = foreground
/// kept  [H, W] uint8, dense rows, all 0 on entry; becomes 1 where a pixel stays
/// Throws Error(kInvalidArgument) if shapes differ or min_area is below 0, Error(kUnsupported) for arrays on a GPU.
void remove_small(TensorView<const std::uint8_t, 2> mask, std::int64_t min_area, Connectivity connectivity,
                  TensorView<std::uint8_t, 2> kept, int threads = 0);

namespace cpu {
void remove_small(TensorView<const std::uint8_t, 2> mask, std::int64_t min_area, Connectivity connectivity,
                  TensorView<std::uint8_t, 2> kept, int threads);
}  // namespace cpu

}  // namespace lcx

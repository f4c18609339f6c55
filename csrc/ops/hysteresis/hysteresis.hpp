#pragma once

#include <cstdint>

#include "core/device.hpp"
#include "core/run_mask.hpp"
#include "core/tensor_view.hpp"

namespace lcx {

/// The pixels of at least `low` that are connected to one of at least `high` (Canny 1986).
///
/// values  [H, W] float32; NaN is below every threshold
/// mask    [H, W] uint8, dense rows, all 0 on entry; becomes 1 there
/// threads  on the CPU; 0 = all
/// stream  on a GPU
/// Throws Error(kInvalidArgument) if shapes or devices differ or unless low <= high, both finite.
void hysteresis(TensorView<const float, 2> values, float low, float high, Connectivity connectivity,
                TensorView<std::uint8_t, 2> mask, int threads = 0, Stream stream = {});

namespace cpu {
void hysteresis(TensorView<const float, 2> values, float low, float high, Connectivity connectivity,
                TensorView<std::uint8_t, 2> mask, int threads);
}  // namespace cpu

namespace cuda {
void hysteresis(TensorView<const float, 2> values, float low, float high, Connectivity connectivity,
                TensorView<std::uint8_t, 2> mask, Stream stream);
}  // namespace cuda

}  // namespace lcx

#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/tensor_view.hpp"

namespace lcx {

/// Percentiles of the finite values inside a mask, between ranks by linear interpolation (numpy.percentile's default).
///
/// values  [H, W] float32; NaN and infinities are left out
/// mask    [H, W] uint8, nonzero = inside; or empty: everywhere
/// ranks   percentages, each within [0, 100]
/// stream  for arrays on a GPU; waited for, since the result is on the host
/// Returns one value a rank; NaN each where there is no finite value inside.
/// Throws Error(kInvalidArgument) for another mask shape or device, or a rank out of range.
std::vector<double> percentiles(TensorView<const float, 2> values, TensorView<const std::uint8_t, 2> mask,
                                std::span<const double> ranks, Stream stream = {});

namespace cpu {
std::vector<double> percentiles(TensorView<const float, 2> values, TensorView<const std::uint8_t, 2> mask,
                                std::span<const double> ranks);
}  // namespace cpu

namespace cuda {
std::vector<double> percentiles(TensorView<const float, 2> values, TensorView<const std::uint8_t, 2> mask,
                                std::span<const double> ranks, Stream stream);
}  // namespace cuda

}  // namespace lcx

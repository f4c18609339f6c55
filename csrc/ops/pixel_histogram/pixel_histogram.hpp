#pragma once

#include <cstdint>

#include "core/tensor_view.hpp"

namespace lcx {

/// Number of values that 16 bits hold.
inline constexpr std::int64_t kScoreBins = 65536;

/// Counts scores of 16 bits by class.
///
/// scores   [N] any 16 bits, taken as an unsigned number (float16 as its bits)
/// labels   [N] uint8, nonzero = positive
/// counts   [2, 65536] int64, dense: negatives, positives; added to
/// threads  most threads to use; 0 = all
/// stream   for arrays on a GPU
/// Throws Error(kInvalidArgument) if N or the devices differ or `counts` has another shape or is not dense.
void pixel_histogram(TensorView<const std::uint16_t, 1> scores, TensorView<const std::uint8_t, 1> labels,
                     TensorView<std::int64_t, 2> counts, int threads, Stream stream = {});

namespace cpu {
void pixel_histogram(TensorView<const std::uint16_t, 1> scores, TensorView<const std::uint8_t, 1> labels,
                     TensorView<std::int64_t, 2> counts, int threads);
}  // namespace cpu

namespace cuda {
void pixel_histogram(TensorView<const std::uint16_t, 1> scores, TensorView<const std::uint8_t, 1> labels,
                     TensorView<std::int64_t, 2> counts, Stream stream);
}  // namespace cuda

}  // namespace lcx

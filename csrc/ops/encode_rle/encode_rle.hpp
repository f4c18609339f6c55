#pragma once

#include <cstdint>

#include "core/column_runs.hpp"
#include "core/tensor_view.hpp"

namespace lcx {

/// A mask as runs down its columns; see Note [Column runs].
///
/// mask  [H, W] uint8, nonzero = foreground, any strides; fastest where columns or rows are dense
/// Throws Error(kInvalidArgument) for more than 2^32 - 1 pixels, Error(kUnsupported) for a mask on a GPU.
ColumnRuns encode_rle(TensorView<const std::uint8_t, 2> mask);

/// The mask of runs.
///
/// mask  [H, W] uint8 of zeros, columns dense and one behind another (Fortran order); gets 1 where there is foreground
/// Throws Error(kInvalidArgument) for another shape or layout, Error(kUnsupported) for a mask on a GPU.
void decode_rle(ColumnRunsView runs, TensorView<std::uint8_t, 2> mask);

namespace cpu {
ColumnRuns encode_rle(TensorView<const std::uint8_t, 2> mask);
void decode_rle(ColumnRunsView runs, TensorView<std::uint8_t, 2> mask);
}  // namespace cpu

}  // namespace lcx

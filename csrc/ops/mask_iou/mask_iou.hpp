#pragma once

#include <cstdint>
#include <span>

#include "core/column_runs.hpp"
#include "core/tensor_view.hpp"

namespace lcx {

/// Pairwise intersection over union of binary masks. Counts stay integer until the final division.
///
/// predicted  [D, P] uint8, nonzero = foreground; P pixels per mask
/// reference  [G, P] uint8
/// crowd      [G] uint8, or empty: none. For a nonzero one the overlap is intersection over the predicted mask's area.
/// iou        [D, G] float64 dense; two empty masks score 0
/// threads    on the CPU; 0 = all
/// stream     for arrays on a GPU
/// Throws Error(kInvalidArgument) if shapes or devices do not fit.
void mask_iou(TensorView<const std::uint8_t, 2> predicted, TensorView<const std::uint8_t, 2> reference,
              TensorView<const std::uint8_t, 1> crowd, TensorView<double, 2> iou, int threads = 0, Stream stream = {});

/// The same for masks in column runs, on the CPU.
/// Throws Error(kInvalidArgument) also where the masks of a pair differ in shape.
void mask_iou(std::span<const ColumnRunsView> predicted, std::span<const ColumnRunsView> reference,
              TensorView<const std::uint8_t, 1> crowd, TensorView<double, 2> iou, int threads = 0);

namespace cpu {
void mask_iou(TensorView<const std::uint8_t, 2> predicted, TensorView<const std::uint8_t, 2> reference,
              TensorView<const std::uint8_t, 1> crowd, TensorView<double, 2> iou, int threads);
void mask_iou(std::span<const ColumnRunsView> predicted, std::span<const ColumnRunsView> reference,
              TensorView<const std::uint8_t, 1> crowd, TensorView<double, 2> iou, int threads);
}  // namespace cpu

namespace cuda {
void mask_iou(TensorView<const std::uint8_t, 2> predicted, TensorView<const std::uint8_t, 2> reference,
              TensorView<const std::uint8_t, 1> crowd, TensorView<double, 2> iou, Stream stream);
}  // namespace cuda

}  // namespace lcx

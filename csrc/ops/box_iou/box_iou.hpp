#pragma once

#include <cstdint>

#include "core/tensor_view.hpp"

namespace lcx {

/// What the four numbers of a box are: two corners, or a corner and two sides (COCO's way).
enum class BoxFormat : std::uint8_t { kXyxy, kXywh };

/// Pairwise intersection over union of boxes.
///
/// predicted  [D, 4] float32 or float64, in `format`
/// reference  [G, 4] of the same type
/// crowd      [G] uint8, or empty: none. For a nonzero one the overlap is intersection over the predicted box's area.
/// iou        [D, G] dense. Boxes that do not overlap score 0, as does a box of no area or with a coordinate that is
///            not finite.
/// threads    on the CPU; 0 = all
/// stream     for arrays on a GPU
/// Throws Error(kInvalidArgument) if shapes or devices do not fit.
template <typename T>
void box_iou(TensorView<const T, 2> predicted, TensorView<const T, 2> reference, BoxFormat format,
             TensorView<const std::uint8_t, 1> crowd, TensorView<T, 2> iou, int threads = 0, Stream stream = {});

namespace cpu {
template <typename T>
void box_iou(TensorView<const T, 2> predicted, TensorView<const T, 2> reference, BoxFormat format,
             TensorView<const std::uint8_t, 1> crowd, TensorView<T, 2> iou, int threads);
}  // namespace cpu

namespace cuda {
template <typename T>
void box_iou(TensorView<const T, 2> predicted, TensorView<const T, 2> reference, BoxFormat format,
             TensorView<const std::uint8_t, 1> crowd, TensorView<T, 2> iou, Stream stream);
}  // namespace cuda

}  // namespace lcx

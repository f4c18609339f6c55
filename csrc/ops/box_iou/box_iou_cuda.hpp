#pragma once

#include "ops/box_iou/box_iou.hpp"

namespace lcx::cuda {

/// lcx::box_iou put on the stream: allocates nothing, waits for nothing. `iou` is not empty.
template <typename T>
void enqueue_box_iou(TensorView<const T, 2> predicted, TensorView<const T, 2> reference, BoxFormat format,
                     TensorView<const std::uint8_t, 1> crowd, TensorView<T, 2> iou, Stream stream);

}  // namespace lcx::cuda

#pragma once

#include <array>

#include "core/cuda_support.cuh"
#include "core/tensor_view.hpp"

namespace lcx::cuda {

/// lcx::resample onto one grid, put on the stream: allocates nothing, waits for nothing.
///
/// image     [H, W], not empty; fastest where its rows are dense and begin at multiples of 16 bytes
/// averages  of grid_shape(image.shape, scale), dense rows
template <typename T>
void enqueue_resample(TensorView<const T, 2> image, std::array<double, 2> scale, TensorView<float, 2> averages,
                      Stream stream);

}  // namespace lcx::cuda

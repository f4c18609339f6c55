#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "core/cuda_support.cuh"
#include "core/tensor_view.hpp"

namespace lcx::cuda {

constexpr int kMostPercentiles = 8;

/// What counts where no pixel of the mask is set.
enum class EmptyMask : std::uint8_t { kNothing, kEverything };

std::size_t percentiles_workspace_bytes();

/// lcx::percentiles put on the stream: allocates nothing, waits for nothing.
///
/// ranks    percentages, at most kMostPercentiles
/// results  double [ranks] on the device
void enqueue_percentiles(TensorView<const float, 2> values, TensorView<const std::uint8_t, 2> mask, EmptyMask empty,
                         std::span<const double> ranks, double* results, Workspace& workspace, Stream stream);

}  // namespace lcx::cuda

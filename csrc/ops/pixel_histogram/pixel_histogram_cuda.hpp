#pragma once

#include "ops/pixel_histogram/pixel_histogram.hpp"

namespace lcx::cuda {

/// lcx::pixel_histogram put on the stream: allocates nothing, waits for nothing. There is at least one pixel.
void enqueue_pixel_histogram(TensorView<const std::uint16_t, 1> scores, TensorView<const std::uint8_t, 1> labels,
                             TensorView<std::int64_t, 2> counts, Stream stream);

}  // namespace lcx::cuda

#pragma once

// Four neighbouring floats of a row, in one access of 16 bytes where they lie at a multiple of 16 and all inside the
// row, else one by one.

#include <cstdint>

#include "core/cuda_support.cuh"

namespace lcx {

constexpr std::int32_t kQuad = 4;

/// Threads of which each takes a quad of a row.
inline std::int64_t quads_of(std::int64_t width) { return (width + kQuad - 1) / kQuad; }

/// row  its first float; stride in floats; `first` may be below 0 and the quad may end behind `width`
__device__ inline bool is_one_access(const float* row, std::int64_t stride, std::int32_t first, std::int32_t width) {
  return stride == 1 && first >= 0 && first + kQuad <= width &&
         (reinterpret_cast<std::uintptr_t>(row + first) & (kQuad * sizeof(float) - 1)) == 0;
}

/// What lies outside the row is left as it is.
__device__ inline void load_quad(const float* row, std::int64_t stride, std::int32_t first, std::int32_t width,
                                 float (&values)[kQuad]) {
  if (is_one_access(row, stride, first, width)) {
    const auto wide = *reinterpret_cast<const float4*>(row + first);
    values[0] = wide.x;
    values[1] = wide.y;
    values[2] = wide.z;
    values[3] = wide.w;
    return;
  }
  for (std::int32_t k = 0; k < kQuad; ++k) {
    if (first + k >= 0 && first + k < width) values[k] = row[(first + k) * stride];
  }
}

/// Writes only inside the row.
__device__ inline void store_quad(float* row, std::int64_t stride, std::int32_t first, std::int32_t width,
                                  const float (&values)[kQuad]) {
  if (is_one_access(row, stride, first, width)) {
    *reinterpret_cast<float4*>(row + first) = make_float4(values[0], values[1], values[2], values[3]);
    return;
  }
  for (std::int32_t k = 0; k < kQuad; ++k) {
    if (first + k >= 0 && first + k < width) row[(first + k) * stride] = values[k];
  }
}

}  // namespace lcx

#pragma once

#include <cstdint>

#include "core/gpu_compat.cuh"

namespace lcx {

/// Whether this block is the grid's last one to ask; it then sees what all blocks wrote before. One launch does so what
/// otherwise takes a second one of a single block. All threads of the block come here.
///
/// ticket  0 before the launch, and again after it
__device__ inline bool is_last_block(std::uint32_t* ticket) {
  LCX_SHARED(std::uint32_t, taken, 1);
  __threadfence();
  __syncthreads();
  const std::uint32_t blocks = gridDim.x * gridDim.y * gridDim.z;
  if (threadIdx.x == 0) {
    taken[0] = atomicAdd(ticket, 1U);
    if (taken[0] == blocks - 1) *ticket = 0;
  }
  __syncthreads();
  const bool is_last = taken[0] == blocks - 1;
  __threadfence();
  return is_last;
}

}  // namespace lcx

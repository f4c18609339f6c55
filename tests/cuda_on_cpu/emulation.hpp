#pragma once

// Compiles CUDA C++ kernels with the host compiler and runs them on the CPU, for tests only. Included by
// core/gpu_compat.cuh in a build with LCX_EMULATE_CUDA, in the place of <cuda_runtime.h>. See README.md here.

#include <cstddef>

#include "cuda_on_cpu/intrinsics.hpp"
#include "cuda_on_cpu/runtime.hpp"
#include "cuda_on_cpu/scheduler.hpp"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)

#define LCX_LAUNCH(kernel, blocks, threads, shared_bytes, stream, ...) \
  ::cuda_on_cpu::launch(#kernel, kernel, blocks, threads, shared_bytes, stream, __VA_ARGS__)
#define LCX_SHARED(type, name, count)     \
  static char lcx_shared_site_##name = 0; \
  type* const name = static_cast<type*>(  \
      ::cuda_on_cpu::shared_memory(&lcx_shared_site_##name, sizeof(type) * static_cast<std::size_t>(count)))
#define LCX_DYNAMIC_SHARED(type, name) type* const name = static_cast<type*>(::cuda_on_cpu::dynamic_shared_memory())

namespace lcx {

/// A load in a loop that may wait for another thread, so the others get their turn.
template <typename T>
T load_fresh(const T* pointer) {
  ::cuda_on_cpu::give_way(true);
  const T value = *static_cast<const volatile T*>(pointer);
  ::cuda_on_cpu::give_way(false);
  return value;
}

}  // namespace lcx

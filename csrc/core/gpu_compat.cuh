#pragma once

// The one door to CUDA. nvcc sees the CUDA runtime; a build with LCX_EMULATE_CUDA sees a stand-in for the host
// compiler (tests/cuda_on_cpu), so that the same .cu sources run in the tests of a machine without a GPU.
//
// Four spellings differ between the two, and .cu files use these instead of CUDA's own:
//   LCX_LAUNCH(kernel, blocks, threads, shared_bytes, stream, arguments...)   kernel<<<...>>>(...)
//   LCX_SHARED(type, name, count)                                             __shared__ type name[count]
//   LCX_DYNAMIC_SHARED(type, name)                                            extern __shared__ type name[]
//   load_fresh(pointer)                                                       a load that sees other threads' stores
// A kernel template with a comma in its arguments is put in brackets: LCX_LAUNCH((fill<int, 4>), ...).

#ifdef LCX_EMULATE_CUDA

#include <cuda_on_cpu/emulation.hpp>

#else

#include <cuda_runtime.h>

#define LCX_LAUNCH(kernel, blocks, threads, shared_bytes, stream, ...) \
  kernel<<<blocks, threads, shared_bytes, stream>>>(__VA_ARGS__)
#define LCX_SHARED(type, name, count) __shared__ type name[count]
#define LCX_DYNAMIC_SHARED(type, name)                             \
  extern __shared__ __align__(16) unsigned char lcx_shared_base[]; \
  type* const name = reinterpret_cast<type*>(lcx_shared_base)

namespace lcx {

template <typename T>
__device__ __forceinline__ T load_fresh(const T* pointer) {
  return *static_cast<const volatile T*>(pointer);
}

}  // namespace lcx

#endif

#pragma once

/// Marks arithmetic that the CPU and the CUDA twins of an operation share.
#ifdef __CUDACC__
#define LCX_HOST_DEVICE __host__ __device__
#else
#define LCX_HOST_DEVICE
#endif

#pragma once

// Note [SIMD clones]
// Wheels are built for the x86-64 baseline, and the hot row loops are compiled three times: the loader picks
// the widest one the CPU has. Marked functions are plain loops over dense rows that the compiler vectorises;
// they do the same operations in the same order in each clone, and -ffp-contract=off keeps the compiler from
// fusing them, so every clone gives the same bits.
#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__) && !defined(__SANITIZE_ADDRESS__) && \
    !defined(LCX_NO_SIMD_CLONES)
#define LCX_SIMD_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define LCX_SIMD_CLONES
#endif

namespace lcx {

// Note [Lanes]
// Partial sums, minima and counts that loops carry along. The compiler may not reorder a floating-point sum, and where
// the partial ones are an array it takes them through memory at every turn; values of these types stay in registers,
// however wide those are. For local variables only: how such a value is passed to a function depends on the clone.
inline constexpr int kLanes = 16;
using FloatLanes = float __attribute__((vector_size(kLanes * sizeof(float))));
using IntLanes = int __attribute__((vector_size(kLanes * sizeof(int))));
using HalfFloatLanes = float __attribute__((vector_size(kLanes / 2 * sizeof(float))));
using DoubleLanes = double __attribute__((vector_size(kLanes / 2 * sizeof(double))));  ///< for half of the lanes

}  // namespace lcx

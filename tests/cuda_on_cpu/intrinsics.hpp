#pragma once

// Device functions of CUDA C++.

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <source_location>
#include <type_traits>

#include "cuda_on_cpu/scheduler.hpp"

#define threadIdx (::cuda_on_cpu::current_thread().index)
#define blockIdx (::cuda_on_cpu::current_thread().block->index)
#define blockDim (::cuda_on_cpu::current_launch().block)
#define gridDim (::cuda_on_cpu::current_launch().grid)
inline constexpr int warpSize = 32;

#define LCX_EMULATED_VECTORS(T, name)                        \
  struct alignas(2 * sizeof(T)) name##2 { T x, y; };         \
  struct alignas(4 * sizeof(T)) name##4 { T x, y, z, w; };   \
  inline name##2 make_##name##2(T x, T y) { return {x, y}; } \
  inline name##4 make_##name##4(T x, T y, T z, T w) { return {x, y, z, w}; }
LCX_EMULATED_VECTORS(std::uint8_t, uchar)
LCX_EMULATED_VECTORS(std::uint16_t, ushort)
LCX_EMULATED_VECTORS(int, int)
LCX_EMULATED_VECTORS(unsigned, uint)
LCX_EMULATED_VECTORS(float, float)
#undef LCX_EMULATED_VECTORS

namespace cuda_on_cpu {

template <typename T>
std::uint64_t to_bits(T value) {
  static_assert(sizeof(T) <= 8 && std::is_trivially_copyable_v<T>);
  std::uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  return bits;
}

template <typename T>
T from_bits(std::uint64_t bits) {
  T value;
  std::memcpy(&value, &bits, sizeof(T));
  return value;
}

template <typename T>
T shuffle(unsigned mask, T value, int source) {
  return from_bits<T>(warp_collective(Collective::kShuffle, mask, to_bits(value), source));
}

inline int lane() { return current_thread().lane(); }
inline int segment(int width) { return lane() & ~(width - 1); }

}  // namespace cuda_on_cpu

// --- Barriers and warp collectives ---

inline void __syncthreads(std::source_location where = std::source_location::current()) {
  ::cuda_on_cpu::block_barrier(where);
}
inline int __syncthreads_or(int flag, std::source_location where = std::source_location::current()) {
  ::cuda_on_cpu::current_thread().flag = flag != 0;
  ::cuda_on_cpu::block_barrier(where);
  return ::cuda_on_cpu::current_thread().block->any;
}
inline int __syncthreads_and(int flag, std::source_location where = std::source_location::current()) {
  ::cuda_on_cpu::current_thread().flag = flag != 0;
  ::cuda_on_cpu::block_barrier(where);
  return ::cuda_on_cpu::current_thread().block->all;
}
inline int __syncthreads_count(int flag, std::source_location where = std::source_location::current()) {
  ::cuda_on_cpu::current_thread().flag = flag != 0;
  ::cuda_on_cpu::block_barrier(where);
  return ::cuda_on_cpu::current_thread().block->count;
}
inline void __syncwarp(unsigned mask = ~0U) {
  ::cuda_on_cpu::warp_collective(::cuda_on_cpu::Collective::kSync, mask, 0, 0);
}
inline unsigned __ballot_sync(unsigned mask, int flag) {
  return static_cast<unsigned>(::cuda_on_cpu::warp_collective(::cuda_on_cpu::Collective::kBallot, mask, flag != 0, 0));
}
inline int __any_sync(unsigned mask, int flag) { return __ballot_sync(mask, flag) != 0; }
inline int __all_sync(unsigned mask, int flag) { return __ballot_sync(mask, flag) == mask; }
template <typename T>
unsigned __match_any_sync(unsigned mask, T value) {
  return static_cast<unsigned>(
      ::cuda_on_cpu::warp_collective(::cuda_on_cpu::Collective::kMatch, mask, ::cuda_on_cpu::to_bits(value), 0));
}
template <typename T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32) {
  return ::cuda_on_cpu::shuffle(mask, value, ::cuda_on_cpu::segment(width) | (source & (width - 1)));
}
template <typename T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32) {
  const int source = ::cuda_on_cpu::lane() - static_cast<int>(delta);
  return ::cuda_on_cpu::shuffle(mask, value, source < ::cuda_on_cpu::segment(width) ? ::cuda_on_cpu::lane() : source);
}
template <typename T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32) {
  const int source = ::cuda_on_cpu::lane() + static_cast<int>(delta);
  const bool inside = source < ::cuda_on_cpu::segment(width) + width;
  return ::cuda_on_cpu::shuffle(mask, value, inside ? source : ::cuda_on_cpu::lane());
}
template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int lanes, int = 32) {
  return ::cuda_on_cpu::shuffle(mask, value, ::cuda_on_cpu::lane() ^ lanes);
}

// --- Atomics: other threads may come before and after, never in between ---

namespace cuda_on_cpu {

template <typename T, typename Change>
T atomically(T* at, const Change& change) {
  give_way(false);
  const T old = *at;
  *at = change(old);
  give_way(false);
  return old;
}

template <typename T>
using Same = std::type_identity_t<T>;

}  // namespace cuda_on_cpu

template <typename T>
T atomicAdd(T* at, ::cuda_on_cpu::Same<T> value) {
  return ::cuda_on_cpu::atomically(at, [=](T old) { return static_cast<T>(old + value); });
}
template <typename T>
T atomicMin(T* at, ::cuda_on_cpu::Same<T> value) {
  return ::cuda_on_cpu::atomically(at, [=](T old) { return value < old ? value : old; });
}
template <typename T>
T atomicMax(T* at, ::cuda_on_cpu::Same<T> value) {
  return ::cuda_on_cpu::atomically(at, [=](T old) { return old < value ? value : old; });
}
template <typename T>
T atomicOr(T* at, ::cuda_on_cpu::Same<T> value) {
  return ::cuda_on_cpu::atomically(at, [=](T old) { return static_cast<T>(old | value); });
}
template <typename T>
T atomicAnd(T* at, ::cuda_on_cpu::Same<T> value) {
  return ::cuda_on_cpu::atomically(at, [=](T old) { return static_cast<T>(old & value); });
}
template <typename T>
T atomicExch(T* at, ::cuda_on_cpu::Same<T> value) {
  return ::cuda_on_cpu::atomically(at, [=](T) { return value; });
}
template <typename T>
T atomicCAS(T* at, ::cuda_on_cpu::Same<T> expected, ::cuda_on_cpu::Same<T> value) {
  return ::cuda_on_cpu::atomically(at, [=](T old) { return old == expected ? value : old; });
}

inline void __threadfence() { ::cuda_on_cpu::give_way(false); }
inline void __threadfence_block() { ::cuda_on_cpu::give_way(false); }

// --- Bits, loads and conversions ---

inline int __popc(unsigned bits) { return std::popcount(bits); }
inline int __popcll(unsigned long long bits) { return std::popcount(bits); }
inline int __clz(int bits) { return std::countl_zero(static_cast<unsigned>(bits)); }
inline int __clzll(long long bits) { return std::countl_zero(static_cast<unsigned long long>(bits)); }
inline int __ffs(int bits) { return bits == 0 ? 0 : std::countr_zero(static_cast<unsigned>(bits)) + 1; }
inline int __ffsll(long long bits) {
  return bits == 0 ? 0 : std::countr_zero(static_cast<unsigned long long>(bits)) + 1;
}
inline unsigned __brev(unsigned bits) {
  unsigned reversed = 0;
  for (int k = 0; k < 32; ++k) reversed |= (bits >> k & 1U) << (31 - k);
  return reversed;
}
/// The low word of (high:low) shifted right by `shift` modulo 32.
inline unsigned __funnelshift_r(unsigned low, unsigned high, unsigned shift) {
  return static_cast<unsigned>(((std::uint64_t{high} << 32) | low) >> (shift & 31U));
}
/// The high word of (high:low) shifted left by `shift` modulo 32.
inline unsigned __funnelshift_l(unsigned low, unsigned high, unsigned shift) {
  return static_cast<unsigned>((((std::uint64_t{high} << 32) | low) << (shift & 31U)) >> 32);
}
template <typename T>
T __ldg(const T* at) {
  return *at;
}
inline unsigned __float_as_uint(float value) { return std::bit_cast<unsigned>(value); }
inline int __float_as_int(float value) { return std::bit_cast<int>(value); }
inline float __uint_as_float(unsigned bits) { return std::bit_cast<float>(bits); }
using std::max;
using std::min;

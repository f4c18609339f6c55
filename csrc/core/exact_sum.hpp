#pragma once

#include <cstdint>

#include "core/host_device.hpp"

namespace lcx {

// Note [Exact sums]
// Threads add in any order, and floating-point sums depend on it. So a float is taken apart into its 24-bit whole
// number and its exponent; those whose exponents share all but the lowest three bits are added as 64-bit integers (24 +
// 7 bits each, room for 2^32 of them), exactly and in any order. Only in the end 32 such sums are rounded, from the
// greatest exponents down.

inline constexpr int kSumGroups = 32;

/// A finite float as a whole number times 2^(8 * group - 150).
struct ExactTerm {
  std::int64_t whole;
  int group;
};

/// bits  of a float that is neither infinite nor NaN
LCX_HOST_DEVICE inline ExactTerm exact_term(std::uint32_t bits) {
  const auto exponent = static_cast<int>(bits >> 23 & 0xffU);
  const std::uint32_t fraction = bits & 0x7fffffU;
  const std::uint32_t significand = exponent == 0 ? fraction : fraction | 0x800000U;
  const int scale = exponent == 0 ? 1 : exponent;
  const std::int64_t whole = static_cast<std::int64_t>(significand) << (scale & 7);
  return {bits >> 31 ? -whole : whole, scale >> 3};
}

/// A float's bits as an unsigned number of the same order; NaN aside.
LCX_HOST_DEVICE inline std::uint32_t ordered_key(std::uint32_t bits) { return bits >> 31 ? ~bits : bits | 0x80000000U; }
LCX_HOST_DEVICE inline std::uint32_t bits_of_key(std::uint32_t key) { return key >> 31 ? key & 0x7fffffffU : ~key; }

}  // namespace lcx

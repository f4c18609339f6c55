#pragma once

#include <bit>
#include <cstdint>

#include "core/host_device.hpp"

namespace lcx {

/// An IEEE half-precision float, as memory holds it.
struct Half {
  std::uint16_t bits;
};

/// Exact. The exponent is rebased by a multiplication, which gives subnormal halves their value too; infinities and NaN
/// get the largest exponent back.
LCX_HOST_DEVICE inline float to_float(Half value) {
  const std::uint32_t magnitude = value.bits & 0x7FFFU;
  const std::uint32_t sign = static_cast<std::uint32_t>(value.bits & 0x8000U) << 16;
  const float scaled = std::bit_cast<float>(magnitude << 13) * 0x1p112F;
  const std::uint32_t special = magnitude >= 0x7C00U ? 0x7F800000U : 0U;
  return std::bit_cast<float>(std::bit_cast<std::uint32_t>(scaled) | special | sign);
}

/// Probabilities as they are stored: a byte counts 255ths.
LCX_HOST_DEVICE inline float probability_of(float value) { return value; }
LCX_HOST_DEVICE inline float probability_of(Half value) { return to_float(value); }
LCX_HOST_DEVICE inline float probability_of(std::uint8_t value) { return static_cast<float>(value) / 255.0F; }

}  // namespace lcx

#pragma once

#include <cstdint>

/// Calls INSTANTIATE(T) for each type that a film's pixels may have: explicit instantiations of what reads them.
#define LCX_FOR_EACH_PIXEL_TYPE(INSTANTIATE) \
  INSTANTIATE(std::uint8_t)                  \
  INSTANTIATE(std::uint16_t)                 \
  INSTANTIATE(std::int16_t)                  \
  INSTANTIATE(float)

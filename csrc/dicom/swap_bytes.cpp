#include "dicom/swap_bytes.hpp"

#include <algorithm>
#include <cstring>

#include "core/simd.hpp"

namespace lcx {

LCX_SIMD_CLONES
std::uint16_t swap_bytes(const unsigned char* from, std::uint16_t* to, std::int64_t count) {
  std::uint16_t largest = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    std::uint16_t sample = 0;
    std::memcpy(&sample, from + 2 * i, sizeof(sample));
    sample = static_cast<std::uint16_t>(sample << 8 | sample >> 8);
    to[i] = sample;
    largest = std::max(largest, sample);
  }
  return largest;
}

}  // namespace lcx

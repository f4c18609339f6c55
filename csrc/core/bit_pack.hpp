#pragma once

#include <array>
#include <cstdint>
#include <cstring>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

namespace lcx {

/// 64 bytes to 64 bits, bit i set where byte i is nonzero.
inline std::uint64_t pack_word(const std::uint8_t* bytes) {
#ifdef __SSE2__
  std::uint64_t zeros = 0;
  for (unsigned k = 0; k < 4; ++k) {
    const __m128i part = _mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes + 16 * k));
    const auto bits = static_cast<std::uint32_t>(_mm_movemask_epi8(_mm_cmpeq_epi8(part, _mm_setzero_si128())));
    zeros |= static_cast<std::uint64_t>(bits) << (16 * k);
  }
  return ~zeros;
#else
  constexpr std::uint64_t kLow7 = 0x7F7F7F7F7F7F7F7FULL;
  std::uint64_t packed = 0;
  for (unsigned k = 0; k < 8; ++k) {
    std::uint64_t word;
    std::memcpy(&word, bytes + 8 * k, sizeof(word));
    // 1 in each nonzero byte; the multiplication moves byte j's to bit 56 + j, and no two collide.
    const std::uint64_t flags = ((((word & kLow7) + kLow7) | word) >> 7) & 0x0101010101010101ULL;
    packed |= (flags * 0x0102040810204080ULL) >> 56 << (8 * k);
  }
  return packed;
#endif
}

/// `count` bytes, `step` apart, to (count + 63) / 64 words of bits; bits past the end are 0.
inline void pack_bits(const std::uint8_t* bytes, std::int64_t count, std::int64_t step, std::uint64_t* words) {
  for (std::int64_t at = 0; at < count; at += 64) {
    if (step == 1 && count - at >= 64) {
      words[at / 64] = pack_word(bytes + at);
      continue;
    }
    std::uint64_t word = 0;
    for (std::int64_t i = 0; i < 64 && at + i < count; ++i) {
      word |= static_cast<std::uint64_t>(bytes[(at + i) * step] != 0) << i;
    }
    words[at / 64] = word;
  }
}

/// 64 bits to 64 bytes, each 0 or 1.
inline void unpack_word(std::uint64_t word, std::uint8_t* bytes) {
  for (unsigned k = 0; k < 8; ++k) {
    // Every byte keeps its own bit; adding 7F carries any of them into the highest.
    const std::uint64_t own = ((word >> (8 * k) & 0xFF) * 0x0101010101010101ULL) & 0x8040201008040201ULL;
    const std::uint64_t flags = ((own + 0x7F7F7F7F7F7F7F7FULL) >> 7) & 0x0101010101010101ULL;
    std::memcpy(bytes + 8 * k, &flags, sizeof(flags));
  }
}

/// (count + 63) / 64 words of bits to `count` bytes, each 0 or 1, which are all 0 before: words without a bit set write
/// nothing.
inline void unpack_bits(const std::uint64_t* words, std::int64_t count, std::uint8_t* bytes) {
  std::int64_t at = 0;
  for (; count - at >= 64; at += 64) {
    const std::uint64_t* next = words + at / 64;
    while (count - at >= 320 && (next[0] | next[1] | next[2] | next[3]) == 0) {
      at += 256;
      next += 4;
    }
    const std::uint64_t word = *next;
    if (word == ~std::uint64_t{0}) {
      std::memset(bytes + at, 1, 64);
    } else if (word != 0) {
      unpack_word(word, bytes + at);
    }
  }
  for (; at < count; ++at) bytes[at] = words[at / 64] >> (at % 64) & 1U;
}

/// Transposes a square of 64 x 64 bits in place: bit j of word i becomes bit i of word j.
inline void transpose_bits(std::array<std::uint64_t, 64>& square) {
  // Swaps ever smaller off-diagonal blocks: 32 x 32, 16 x 16, ..., 1 x 1.
  std::uint64_t mask = 0x00000000FFFFFFFFULL;
  for (unsigned size = 32; size != 0; size /= 2, mask ^= mask << size) {
    for (unsigned i = 0; i < 64; i = (i + size + 1) & ~size) {
      const std::uint64_t swap = ((square[i] >> size) ^ square[i + size]) & mask;
      square[i] ^= swap << size;
      square[i + size] ^= swap;
    }
  }
}

}  // namespace lcx

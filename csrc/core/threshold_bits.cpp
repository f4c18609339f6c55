#include "core/threshold_bits.hpp"

#include <algorithm>

#include "core/bit_pack.hpp"
#include "core/simd.hpp"

// A comparison that leaves one bit a value is what AVX-512 does in one instruction and AVX2 in two; from plain loops
// the compiler makes bytes first. For floats, which are most of what there is to read, that is worth the intrinsics.
#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__)
#include <immintrin.h>
#define LCX_FLOAT_BITS_BY_INTRINSICS
#endif

namespace lcx {
namespace {

LCX_SIMD_CLONES void flag_block(const float* values, float level, std::uint8_t* flags, std::int64_t count) {
  for (std::int64_t x = 0; x < count; ++x) flags[x] = values[x] >= level ? 1 : 0;
}

LCX_SIMD_CLONES void flag_block(const Half* values, float level, std::uint8_t* flags, std::int64_t count) {
  for (std::int64_t x = 0; x < count; ++x) flags[x] = to_float(values[x]) >= level ? 1 : 0;
}

LCX_SIMD_CLONES void flag_block(const std::uint8_t* values, std::uint8_t level, std::uint8_t* flags,
                                std::int64_t count) {
  for (std::int64_t x = 0; x < count; ++x) flags[x] = values[x] >= level ? 1 : 0;
}

// By way of bytes that stay in the first-level cache.
template <typename T, typename Level>
void bits_by_flags(const T* values, Level level, std::int64_t count, std::uint64_t* words) {
  constexpr std::int64_t kBlock = 1024;
  std::uint8_t flags[kBlock];
  for (std::int64_t at = 0; at < count; at += kBlock) {
    const std::int64_t part = std::min(kBlock, count - at);
    flag_block(values + at, level, flags, part);
    pack_bits(flags, part, 1, words + at / 64);
  }
}

#ifdef LCX_FLOAT_BITS_BY_INTRINSICS

// `count` a multiple of 64.
using FloatBits = void (*)(const float* values, float level, std::int64_t count, std::uint64_t* words);

__attribute__((target("avx512f"))) void bits_avx512(const float* values, float level, std::int64_t count,
                                                    std::uint64_t* words) {
  const __m512 limit = _mm512_set1_ps(level);
  for (std::int64_t at = 0; at < count; at += 64) {
    std::uint64_t word = 0;
    for (int k = 0; k < 4; ++k) {
      const __mmask16 bits = _mm512_cmp_ps_mask(_mm512_loadu_ps(values + at + 16 * k), limit, _CMP_GE_OQ);
      word |= static_cast<std::uint64_t>(bits) << (16 * k);
    }
    words[at / 64] = word;
  }
}

__attribute__((target("avx2"))) void bits_avx2(const float* values, float level, std::int64_t count,
                                               std::uint64_t* words) {
  const __m256 limit = _mm256_set1_ps(level);
  for (std::int64_t at = 0; at < count; at += 64) {
    std::uint64_t word = 0;
    for (int k = 0; k < 8; ++k) {
      const int bits = _mm256_movemask_ps(_mm256_cmp_ps(_mm256_loadu_ps(values + at + 8 * k), limit, _CMP_GE_OQ));
      word |= static_cast<std::uint64_t>(static_cast<std::uint32_t>(bits)) << (8 * k);
    }
    words[at / 64] = word;
  }
}

FloatBits choose_float_bits() {
  if (__builtin_cpu_supports("avx512f")) return bits_avx512;
  if (__builtin_cpu_supports("avx2")) return bits_avx2;
  return bits_by_flags<float, float>;
}

#endif

}  // namespace

void bits_at_least(const float* values, float level, std::int64_t count, std::uint64_t* words) {
#ifdef LCX_FLOAT_BITS_BY_INTRINSICS
  static const FloatBits bits = choose_float_bits();
  const std::int64_t whole = count / 64 * 64;
  bits(values, level, whole, words);
  bits_by_flags(values + whole, level, count - whole, words + whole / 64);
#else
  bits_by_flags(values, level, count, words);
#endif
}

void bits_at_least(const Half* values, float level, std::int64_t count, std::uint64_t* words) {
  bits_by_flags(values, level, count, words);
}

void bits_at_least(const std::uint8_t* values, std::uint8_t level, std::int64_t count, std::uint64_t* words) {
  bits_by_flags(values, level, count, words);
}

}  // namespace lcx

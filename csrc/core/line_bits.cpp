#include "core/line_bits.hpp"

#include <algorithm>

#include "core/bit_pack.hpp"

// As in core/threshold_bits.cpp, what AVX-512 and AVX2 do in one and four instructions no plain loop becomes.
#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__)
#include <immintrin.h>
#define LCX_PAIRS_BY_INTRINSICS
#endif

namespace lcx {
namespace {

// 1 unless all bits of a pair are like the highest of the word before it.
inline std::uint64_t flag_of(const std::uint64_t* pair, std::uint64_t before) {
  const auto like = static_cast<std::uint64_t>(static_cast<std::int64_t>(before) >> 63);
  return ((pair[0] ^ like) | (pair[1] ^ like)) != 0 ? 1 : 0;
}

using PackPairs = std::uint64_t (*)(const std::uint8_t* pixels, std::int64_t pairs, std::uint64_t before,
                                    std::uint64_t* words);

std::uint64_t pack_pairs_anywhere(const std::uint8_t* pixels, std::int64_t pairs, std::uint64_t before,
                                  std::uint64_t* words) {
  std::uint64_t flags = 0;
  for (std::int64_t k = 0; k < pairs; ++k) {
    words[2 * k] = pack_word(pixels + kPairPixels * k);
    words[2 * k + 1] = pack_word(pixels + kPairPixels * k + 64);
    flags |= flag_of(words + 2 * k, before) << k;
    before = words[2 * k + 1];
  }
  return flags;
}

#ifdef LCX_PAIRS_BY_INTRINSICS

__attribute__((target("avx512bw"))) std::uint64_t pack_pairs_avx512(const std::uint8_t* pixels, std::int64_t pairs,
                                                                    std::uint64_t before, std::uint64_t* words) {
  std::uint64_t flags = 0;
  for (std::int64_t k = 0; k < pairs; ++k) {
    const __m512i first = _mm512_loadu_si512(pixels + kPairPixels * k);
    const __m512i second = _mm512_loadu_si512(pixels + kPairPixels * k + 64);
    words[2 * k] = _mm512_test_epi8_mask(first, first);
    words[2 * k + 1] = _mm512_test_epi8_mask(second, second);
    flags |= flag_of(words + 2 * k, before) << k;
    before = words[2 * k + 1];
  }
  return flags;
}

__attribute__((target("avx2"))) std::uint64_t pack_pairs_avx2(const std::uint8_t* pixels, std::int64_t pairs,
                                                              std::uint64_t before, std::uint64_t* words) {
  const auto zeros = [](const std::uint8_t* at) __attribute__((target("avx2"))) {
    const __m256i part = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at));
    const int bits = _mm256_movemask_epi8(_mm256_cmpeq_epi8(part, _mm256_setzero_si256()));
    return static_cast<std::uint64_t>(static_cast<std::uint32_t>(bits));
  };
  std::uint64_t flags = 0;
  for (std::int64_t k = 0; k < pairs; ++k) {
    const std::uint8_t* at = pixels + kPairPixels * k;
    words[2 * k] = ~(zeros(at) | zeros(at + 32) << 32);
    words[2 * k + 1] = ~(zeros(at + 64) | zeros(at + 96) << 32);
    flags |= flag_of(words + 2 * k, before) << k;
    before = words[2 * k + 1];
  }
  return flags;
}

PackPairs choose_pack_pairs() {
  if (__builtin_cpu_supports("avx512bw")) return pack_pairs_avx512;
  if (__builtin_cpu_supports("avx2")) return pack_pairs_avx2;
  return pack_pairs_anywhere;
}

#else

PackPairs choose_pack_pairs() { return pack_pairs_anywhere; }

#endif

}  // namespace

std::uint64_t flag_pairs(const std::uint64_t* words, std::int64_t pairs, std::uint64_t before) {
  std::uint64_t flags = 0;
  for (std::int64_t k = 0; k < pairs; ++k) {
    flags |= flag_of(words + 2 * k, before) << k;
    before = words[2 * k + 1];
  }
  return flags;
}

std::uint64_t pack_pairs(const std::uint8_t* pixels, std::int64_t pairs, std::uint64_t before, std::uint64_t* words) {
  static const PackPairs pack = choose_pack_pairs();
  return pack(pixels, pairs, before, words);
}

void pack_line(const std::uint8_t* pixels, std::int64_t count, std::uint64_t* words) {
  std::int64_t at = 0;
  while (count - at >= kPairPixels) {
    const std::int64_t pairs = std::min((count - at) / kPairPixels, kMostPairs);
    pack_pairs(pixels + at, pairs, 0, words + at / 64);
    at += kPairPixels * pairs;
  }
  pack_bits(pixels + at, count - at, 1, words + at / 64);
}

}  // namespace lcx

#pragma once

#include <cstdint>

namespace lcx {

// Note [Pairs of words]
// A line of pixels is looked at 128 at a time, as two words of bits. A pair is flagged unless all of its pixels are
// like the one before it, and only flagged pairs hold edges. The flags of 64 pairs are one word made without a branch:
// where edges are few, pixels pass as fast as they can be read; where there are more, which pair holds one is nothing
// that a branch predictor could know.

inline constexpr std::int64_t kPairPixels = 128;
inline constexpr std::int64_t kMostPairs = 64;  ///< at a time

/// The flags of at most kMostPairs pairs of words; bit 63 of `before` is the pixel before the first.
std::uint64_t flag_pairs(const std::uint64_t* words, std::int64_t pairs, std::uint64_t before);

/// The same, making the words of kPairPixels * pairs pixels: bit i % 64 of word i / 64 is set where pixel i is nonzero.
std::uint64_t pack_pairs(const std::uint8_t* pixels, std::int64_t pairs, std::uint64_t before, std::uint64_t* words);

/// pack_bits of a line, however long, in the widest way that the CPU has.
void pack_line(const std::uint8_t* pixels, std::int64_t count, std::uint64_t* words);

}  // namespace lcx

#pragma once

#include <cstdint>

#include "core/half.hpp"

namespace lcx {

// A row of `count` values, dense, to (count + 63) / 64 words: bit x % 64 of word x / 64 is set where the value is at
// least `level`; bits past the end are 0. NaN is below every level.

void bits_at_least(const float* values, float level, std::int64_t count, std::uint64_t* words);
void bits_at_least(const Half* values, float level, std::int64_t count, std::uint64_t* words);
void bits_at_least(const std::uint8_t* values, std::uint8_t level, std::int64_t count, std::uint64_t* words);

}  // namespace lcx

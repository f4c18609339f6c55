#pragma once

#include <cstdint>
#include <span>

namespace lcx {

// Note [Selection]
// The value at a rank is found by halving the interval that holds it, counting the values below the middle each time.
// A count is one vectorised comparison a value, so ten passes over values in the cache take less time than one that
// moves them about, and the values stay where they are.

/// The value at `rank` (counted from 0, ascending) of `values`: at least one, no NaN; infinities are values like
/// others. Zeros of both signs are equal.
float value_at_rank(std::span<const float> values, std::int64_t rank);

/// Likewise, of values the one in question among which is at most `limit`; a lower one saves passes.
std::uint16_t value_at_rank(std::span<const std::uint16_t> values, std::int64_t rank, std::uint16_t limit = 0xffff);

/// How many values are at most `limit`.
std::int64_t count_at_most(std::span<const float> values, float limit);
std::int64_t count_at_most(std::span<const std::uint16_t> values, std::uint16_t limit);

/// Least and greatest of `values`: at least one, no NaN.
struct ValueRange {
  float low;
  float high;
};
ValueRange range_of(std::span<const float> values);

/// The value at rank q (n - 1), q within [0, 1], between ranks by linear interpolation. `values`: at least one, all
/// finite, since between infinities there is nothing.
double quantile(std::span<const float> values, double q);

}  // namespace lcx

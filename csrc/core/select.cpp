#include "core/select.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "core/simd.hpp"
#include "core/threshold_bits.hpp"

namespace lcx {
namespace {

// Of the interval that holds a float: they leave few of a smooth distribution's values, which are then sorted out.
constexpr int kHalvings = 8;

LCX_SIMD_CLONES std::int32_t count_block(const float* values, float limit, std::int32_t count) {
  std::int32_t found = 0;
  for (std::int32_t i = 0; i < count; ++i) found += values[i] <= limit ? 1 : 0;
  return found;
}

// The counter is as narrow as the values, so that a lane counts for each: `count` is at most 65,535.
LCX_SIMD_CLONES std::uint16_t count_block(const std::uint16_t* values, std::uint16_t limit, std::int32_t count) {
  std::uint16_t found = 0;
  for (std::int32_t i = 0; i < count; ++i) {
    found = static_cast<std::uint16_t>(found + static_cast<std::uint16_t>(values[i] <= limit ? 1 : 0));
  }
  return found;
}

// The least value above `limit`; infinity if there is none.
LCX_SIMD_CLONES float least_above(const float* values, float limit, std::int64_t count) {
  constexpr int kLanes = 16;
  constexpr float kNone = std::numeric_limits<float>::infinity();
  float least[kLanes];
  for (int lane = 0; lane < kLanes; ++lane) least[lane] = kNone;
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (int lane = 0; lane < kLanes; ++lane) {
      const float value = values[i + lane] > limit ? values[i + lane] : kNone;
      least[lane] = value < least[lane] ? value : least[lane];
    }
  }
  for (; i < count; ++i) least[0] = values[i] > limit && values[i] < least[0] ? values[i] : least[0];
  return *std::min_element(least, least + kLanes);
}

LCX_SIMD_CLONES void extend_range(const float* values, std::int64_t count, ValueRange& range) {
  FloatLanes low = FloatLanes{} + values[0];
  FloatLanes high = low;
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    FloatLanes value;
    std::memcpy(&value, values + i, sizeof(value));
    low = value < low ? value : low;
    high = value > high ? value : high;
  }
  range = {low[0], high[0]};
  for (int lane = 1; lane < kLanes; ++lane) {
    range.low = std::min(range.low, low[lane]);
    range.high = std::max(range.high, high[lane]);
  }
  for (; i < count; ++i) {
    range.low = std::min(range.low, values[i]);
    range.high = std::max(range.high, values[i]);
  }
}

// The values within the range, in order.
std::vector<float> values_within(std::span<const float> values, ValueRange range) {
  constexpr std::int64_t kWords = 32;
  // No value is at least NaN, so none is above an infinite limit.
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const float next = range.high < kInfinity ? std::nextafter(range.high, kInfinity) : kInfinity - kInfinity;
  std::uint64_t from_low[kWords];
  std::uint64_t above[kWords];
  std::vector<float> found;
  const auto count = static_cast<std::int64_t>(values.size());
  for (std::int64_t at = 0; at < count; at += 64 * kWords) {
    const float* part = values.data() + at;
    const std::int64_t length = std::min(64 * kWords, count - at);
    bits_at_least(part, range.low, length, from_low);
    bits_at_least(part, next, length, above);
    for (std::int64_t k = 0; 64 * k < length; ++k) {
      for (std::uint64_t bits = from_low[k] & ~above[k]; bits != 0; bits &= bits - 1) {
        found.push_back(part[64 * k + std::countr_zero(bits)]);
      }
    }
  }
  return found;
}

template <typename T, typename Limit>
std::int64_t count_by_blocks(std::span<const T> values, Limit limit) {
  constexpr std::size_t kBlock = 1 << 15;
  std::int64_t found = 0;
  for (std::size_t at = 0; at < values.size(); at += kBlock) {
    found += count_block(values.data() + at, limit, static_cast<std::int32_t>(std::min(kBlock, values.size() - at)));
  }
  return found;
}

}  // namespace

std::int64_t count_at_most(std::span<const float> values, float limit) { return count_by_blocks(values, limit); }

std::int64_t count_at_most(std::span<const std::uint16_t> values, std::uint16_t limit) {
  return count_by_blocks(values, limit);
}

ValueRange range_of(std::span<const float> values) {
  ValueRange range{};
  extend_range(values.data(), static_cast<std::int64_t>(values.size()), range);
  return range;
}

float value_at_rank(std::span<const float> values, std::int64_t rank) {
  ValueRange range = range_of(values);
  // The value sought is within [range.low, range.high], and `below` values are less than range.low.
  std::int64_t below = 0;
  for (int pass = 0; pass < kHalvings && range.low < range.high; ++pass) {
    const float middle = range.low / 2 + range.high / 2;
    if (!std::isfinite(middle)) break;
    const std::int64_t count = count_at_most(values, middle);
    if (count > rank) {
      range.high = middle;
    } else {
      range.low = std::nextafter(middle, range.high);
      below = count;
    }
  }
  if (range.low == range.high) return range.low;
  std::vector<float> candidates = values_within(values, range);
  const auto at = candidates.begin() + static_cast<std::ptrdiff_t>(rank - below);
  std::nth_element(candidates.begin(), at, candidates.end());
  return *at;
}

std::uint16_t value_at_rank(std::span<const std::uint16_t> values, std::int64_t rank, std::uint16_t limit) {
  std::uint32_t low = 0;
  std::uint32_t high = limit;
  while (low < high) {
    const std::uint32_t middle = low + (high - low) / 2;
    if (count_at_most(values, static_cast<std::uint16_t>(middle)) > rank) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return static_cast<std::uint16_t>(low);
}

double quantile(std::span<const float> values, double q) {
  const double position = q * static_cast<double>(values.size() - 1);
  const auto rank = static_cast<std::int64_t>(position);
  const double part = position - static_cast<double>(rank);
  const float below = value_at_rank(values, rank);
  if (part == 0.0) return static_cast<double>(below);
  const float above = count_at_most(values, below) > rank + 1
                          ? below
                          : least_above(values.data(), below, static_cast<std::int64_t>(values.size()));
  return static_cast<double>(below) + part * (static_cast<double>(above) - static_cast<double>(below));
}

}  // namespace lcx

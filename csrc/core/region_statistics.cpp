#include "core/region_statistics.hpp"

#include <array>
#include <cstring>
#include <limits>

#include "core/select.hpp"
#include "core/simd.hpp"

namespace lcx {
namespace {

// Up to so many of the highest are kept in order as they come; more are found by their rank.
constexpr std::size_t kFewest = 10;

// Sums of all values and of those above `limit`, and how many those are.
struct Sums {
  double all = 0.0;
  double above = 0.0;
  std::int64_t count_above = 0;
};

LCX_SIMD_CLONES void add_up(const float* values, std::int64_t count, float limit, Sums& sums) {
  DoubleLanes all[2] = {};
  DoubleLanes above[2] = {};
  IntLanes counts = {};
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    FloatLanes value;
    std::memcpy(&value, values + i, sizeof(value));
    const IntLanes is_above = value > limit;
    const FloatLanes high = is_above ? value : FloatLanes{};
    counts -= is_above;  // true is -1
    for (int half = 0; half < 2; ++half) {
      HalfFloatLanes part;
      std::memcpy(&part, reinterpret_cast<const char*>(&value) + half * sizeof(part), sizeof(part));
      all[half] += __builtin_convertvector(part, DoubleLanes);
      std::memcpy(&part, reinterpret_cast<const char*>(&high) + half * sizeof(part), sizeof(part));
      above[half] += __builtin_convertvector(part, DoubleLanes);
    }
  }
  for (; i < count; ++i) {
    all[0][0] += static_cast<double>(values[i]);
    above[0][0] += static_cast<double>(values[i] > limit ? values[i] : 0.0F);
    counts[0] += values[i] > limit ? 1 : 0;
  }
  for (int lane = 0; lane < kLanes; ++lane) {
    sums.all += all[lane / 8][lane % 8];
    sums.above += above[lane / 8][lane % 8];
    sums.count_above += counts[lane];
  }
}

RegionValues summary(double sum, std::size_t count, float max, double top_sum, std::size_t top) {
  return {static_cast<float>(sum / static_cast<double>(count)), max,
          static_cast<float>(top_sum / static_cast<double>(top))};
}

// The highest `top` of a few values, in descending order, by insertion: most values are none of them, and cost one
// comparison.
RegionValues summarise_fewest(std::span<const float> values, std::size_t top) {
  std::array<float, kFewest> highest;
  highest.fill(-std::numeric_limits<float>::infinity());
  double sum = 0.0;
  for (const float value : values) {
    sum += static_cast<double>(value);
    if (value <= highest[top - 1]) continue;
    std::size_t at = top - 1;
    for (; at > 0 && highest[at - 1] < value; --at) highest[at] = highest[at - 1];
    highest[at] = value;
  }
  double top_sum = 0.0;
  for (std::size_t i = 0; i < top; ++i) top_sum += static_cast<double>(highest[i]);
  return summary(sum, values.size(), highest[0], top_sum, top);
}

}  // namespace

RegionValues summarise(std::span<const float> values) {
  const std::size_t top = (values.size() + 9) / 10;
  if (top <= kFewest) return summarise_fewest(values, top);
  const float least = value_at_rank(values, static_cast<std::int64_t>(values.size() - top));
  Sums sums;
  add_up(values.data(), static_cast<std::int64_t>(values.size()), least, sums);
  // The values that tie with the least of the top make up its number.
  const double top_sum =
      sums.above + static_cast<double>(static_cast<std::int64_t>(top) - sums.count_above) * static_cast<double>(least);
  return summary(sums.all, values.size(), range_of(values).high, top_sum, top);
}

}  // namespace lcx

#include "core/region_statistics.hpp"

#include <cstring>
#include <limits>

#include "core/select.hpp"
#include "core/simd.hpp"

namespace lcx {
namespace {

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

// Puts a value in its place among values in descending order, the last of which drops out: no branches, since where a
// value belongs is hard to foretell.
inline void insert(float value, FloatLanes& ordered) {
  const FloatLanes above = FloatLanes{} + std::numeric_limits<float>::infinity();
  const FloatLanes previous =
      __builtin_shufflevector(above, ordered, 0, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30);
  const FloatLanes all = FloatLanes{} + value;
  const FloatLanes lower = all < previous ? all : previous;
  ordered = lower > ordered ? lower : ordered;
}

// The highest `top` of a few values, in descending order.
LCX_SIMD_CLONES RegionValues summarise_few(std::span<const float> values, std::size_t top) {
  FloatLanes highest = FloatLanes{} - std::numeric_limits<float>::infinity();
  FloatLanes others = highest;  // every other value's, so that two can be put in place at a time
  double sum = 0.0;
  std::size_t i = 0;
  for (; i + 2 <= values.size(); i += 2) {
    insert(values[i], highest);
    insert(values[i + 1], others);
    sum += static_cast<double>(values[i]);
    sum += static_cast<double>(values[i + 1]);
  }
  for (; i < values.size(); ++i) {
    insert(values[i], highest);
    sum += static_cast<double>(values[i]);
  }
  for (std::size_t k = 0; k < top; ++k) insert(others[k], highest);
  double top_sum = 0.0;
  for (std::size_t k = 0; k < top; ++k) top_sum += static_cast<double>(highest[k]);
  return summary(sum, values.size(), highest[0], top_sum, top);
}

}  // namespace

RegionValues summarise(std::span<const float> values) {
  const std::size_t top = (values.size() + 9) / 10;
  if (top <= kLanes) return summarise_few(values, top);
  const float least = value_at_rank(values, static_cast<std::int64_t>(values.size() - top));
  Sums sums;
  add_up(values.data(), static_cast<std::int64_t>(values.size()), least, sums);
  // The values that tie with the least of the top make up its number.
  const double top_sum =
      sums.above + static_cast<double>(static_cast<std::int64_t>(top) - sums.count_above) * static_cast<double>(least);
  return summary(sums.all, values.size(), range_of(values).high, top_sum, top);
}

}  // namespace lcx

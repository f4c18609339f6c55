#pragma once

#include <cstdint>

#include "core/host_device.hpp"

namespace lcx {

/// The image pixels that one grid pixel averages along one axis: `first` weighs `first_weight`, the last one
/// `last_weight`, those between weigh 1; `scale` makes the weights sum to 1. A single pixel weighs 1.
struct Taps {
  std::int64_t first;
  std::int64_t count;
  float first_weight;
  float last_weight;
  float scale;
};

/// Taps of grid pixel `index`, which covers [index * scale, (index + 1) * scale) of `extent` image pixels.
LCX_HOST_DEVICE inline Taps area_taps(std::int64_t index, double scale, std::int64_t extent) {
  const double begin = static_cast<double>(index) * scale;
  const double whole_end = begin + scale;
  const double limit = static_cast<double>(extent);
  const double end = whole_end < limit ? whole_end : limit;
  auto first = static_cast<std::int64_t>(begin);
  if (first > extent - 1) first = extent - 1;
  auto last = static_cast<std::int64_t>(end);
  // A pixel that is only touched (covered by less than a millionth) has no weight worth reading it for.
  if (static_cast<double>(last) >= end - 1e-6) --last;
  if (last > extent - 1) last = extent - 1;
  if (static_cast<double>(first + 1) - begin < 1e-6 && first < last) ++first;
  if (last <= first) return {first, 1, 1.0F, 1.0F, 1.0F};
  const double first_weight = begin > static_cast<double>(first) ? static_cast<double>(first + 1) - begin : 1.0;
  const double last_weight = end < static_cast<double>(last + 1) ? end - static_cast<double>(last) : 1.0;
  const double total = first_weight + last_weight + static_cast<double>(last - first - 1);
  return {first, last - first + 1, static_cast<float>(first_weight), static_cast<float>(last_weight),
          static_cast<float>(1.0 / total)};
}

}  // namespace lcx

#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

namespace lcx {

/// Measurements of one region. Sums of integers, so that every device gets the same numbers.
struct RegionGeometry {
  std::int64_t area = 0;                        ///< pixels
  std::int32_t y0 = 0, x0 = 0, y1 = 0, x1 = 0;  ///< half-open bounding box
  std::int64_t sum_y = 0, sum_x = 0;            ///< of pixel indices

  void add_run(std::int32_t y, std::int32_t begin, std::int32_t end) {
    if (area == 0) {
      y0 = y;
      x0 = begin;
      x1 = end;
    }
    x0 = std::min(x0, begin);
    x1 = std::max(x1, end);
    y1 = y + 1;
    const std::int64_t count = end - begin;
    area += count;
    sum_y += count * y;
    sum_x += (static_cast<std::int64_t>(begin) + end - 1) * count / 2;
  }

  /// Mean of the pixel centres; see Note [Coordinates].
  double centroid_y() const { return static_cast<double>(sum_y) / static_cast<double>(area) + 0.5; }
  double centroid_x() const { return static_cast<double>(sum_x) / static_cast<double>(area) + 0.5; }
};

/// Values of one region, summarised.
struct RegionValues {
  float mean = 0.0F;
  float max = 0.0F;
  float top_mean = 0.0F;  ///< mean of the highest tenth, ceil(area / 10) values
};

/// Summarises `values` (not empty, no NaN; infinities add up as IEEE 754 has it).
RegionValues summarise(std::span<const float> values);

}  // namespace lcx

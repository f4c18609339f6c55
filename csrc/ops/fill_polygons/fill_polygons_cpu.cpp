// Scan conversion: each edge leaves its crossing with the centre line of every row it spans; sorted, the
// crossings pair up into runs.

#include <algorithm>
#include <cmath>
#include <vector>

#include "ops/fill_polygons/fill_polygons.hpp"

namespace lcx::cpu {
namespace {

// First pixel index whose centre is at or beyond `position`, kept within [0, extent].
std::int64_t first_centre(double position, std::int64_t extent) {
  return static_cast<std::int64_t>(std::clamp(std::ceil(position - 0.5), 0.0, static_cast<double>(extent)));
}

}  // namespace

RunMask fill_polygons(TensorView<const double, 2> points, TensorView<const std::int64_t, 1> offsets,
                      std::int64_t height, std::int64_t width) {
  std::vector<std::vector<double>> crossings(static_cast<std::size_t>(height));
  for (std::int64_t k = 0; k + 1 < offsets.shape[0]; ++k) {
    for (std::int64_t i = offsets(k); i < offsets(k + 1); ++i) {
      const std::int64_t j = i + 1 < offsets(k + 1) ? i + 1 : offsets(k);
      const std::int64_t upper = points(i, 0) <= points(j, 0) ? i : j;
      const std::int64_t lower = upper == i ? j : i;
      const double top = points(upper, 0);
      const double bottom = points(lower, 0);
      if (top == bottom) continue;
      const double slope = (points(lower, 1) - points(upper, 1)) / (bottom - top);
      for (std::int64_t y = first_centre(top, height); y < first_centre(bottom, height); ++y) {
        crossings[static_cast<std::size_t>(y)].push_back(points(upper, 1) +
                                                         (static_cast<double>(y) + 0.5 - top) * slope);
      }
    }
  }
  RunMask result{height, width, {}, {0}};
  for (auto& row : crossings) {
    std::sort(row.begin(), row.end());
    const std::size_t first_of_row = result.runs.size();
    for (std::size_t i = 0; i + 1 < row.size(); i += 2) {
      const auto begin = static_cast<std::int32_t>(first_centre(row[i], width));
      const auto end = static_cast<std::int32_t>(first_centre(row[i + 1], width));
      if (begin >= end) continue;
      if (result.runs.size() > first_of_row && result.runs.back().end == begin) {
        result.runs.back().end = end;
      } else {
        result.runs.push_back({begin, end});
      }
    }
    result.row_offsets.push_back(static_cast<std::int64_t>(result.runs.size()));
  }
  return result;
}

}  // namespace lcx::cpu

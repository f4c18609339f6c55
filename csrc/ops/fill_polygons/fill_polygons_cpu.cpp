// Scan conversion: each edge leaves its crossing with the centre line of every row it spans; sorted, the
// crossings pair up into runs.

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "ops/fill_polygons/fill_polygons.hpp"

namespace lcx::cpu {
namespace {

// First pixel index whose centre is at or beyond `position`, kept within [0, extent].
std::int64_t first_centre(double position, std::int64_t extent) {
  return static_cast<std::int64_t>(std::clamp(std::ceil(position - 0.5), 0.0, static_cast<double>(extent)));
}

// Calls visit(y, x) where an edge crosses the centre line of row y.
template <typename Visit>
void for_each_crossing(TensorView<const double, 2> points, TensorView<const std::int64_t, 1> offsets,
                       std::int64_t height, const Visit& visit) {
  for (std::int64_t k = 0; k + 1 < offsets.shape[0]; ++k) {
    for (std::int64_t i = offsets(k); i < offsets(k + 1); ++i) {
      const std::int64_t j = i + 1 < offsets(k + 1) ? i + 1 : offsets(k);
      const std::int64_t upper = points(i, 0) <= points(j, 0) ? i : j;
      const std::int64_t lower = upper == i ? j : i;
      const double top = points(upper, 0);
      const double bottom = points(lower, 0);
      const std::int64_t end = first_centre(bottom, height);
      std::int64_t y = first_centre(top, height);
      if (y >= end) continue;
      const double slope = (points(lower, 1) - points(upper, 1)) / (bottom - top);
      for (; y < end; ++y) visit(y, points(upper, 1) + (static_cast<double>(y) + 0.5 - top) * slope);
    }
  }
}

void append_row(const double* begin, const double* end, std::int64_t width, RunMask& result) {
  const std::size_t first_of_row = result.runs.size();
  for (const double* at = begin; at + 1 < end; at += 2) {
    const auto from = static_cast<std::int32_t>(first_centre(at[0], width));
    const auto to = static_cast<std::int32_t>(first_centre(at[1], width));
    if (from >= to) continue;
    if (result.runs.size() > first_of_row && result.runs.back().end == from) {
      result.runs.back().end = to;
    } else {
      result.runs.push_back({from, to});
    }
  }
}

}  // namespace

RunMask fill_polygons(TensorView<const double, 2> points, TensorView<const std::int64_t, 1> offsets,
                      std::int64_t height, std::int64_t width) {
  // Counted, then placed: row y's crossings end up at ends[y - 1] .. ends[y].
  std::vector<std::int64_t> ends(static_cast<std::size_t>(height), 0);
  for_each_crossing(points, offsets, height, [&](std::int64_t y, double) { ++ends[static_cast<std::size_t>(y)]; });
  std::vector<double> crossings(static_cast<std::size_t>(std::reduce(ends.begin(), ends.end())));
  std::exclusive_scan(ends.begin(), ends.end(), ends.begin(), std::int64_t{0});
  for_each_crossing(points, offsets, height, [&](std::int64_t y, double x) {
    crossings[static_cast<std::size_t>(ends[static_cast<std::size_t>(y)]++)] = x;
  });

  RunMask result{height, width, {}, {0}};
  result.row_offsets.reserve(static_cast<std::size_t>(height) + 1);
  double* begin = crossings.data();
  for (const std::int64_t row_end : ends) {
    double* const end = crossings.data() + row_end;
    std::sort(begin, end);
    append_row(begin, end, width, result);
    result.row_offsets.push_back(static_cast<std::int64_t>(result.runs.size()));
    begin = end;
  }
  return result;
}

}  // namespace lcx::cpu

// Note [COCO polygons]
// COCO's tools draw a polygon on a grid five times finer: corners are rounded to it, each edge is stepped along its
// longer axis, and wherever a step passes from fine column 5x + 2 to 5x + 3 or back (the middle of image column x), the
// outline crosses column x at the higher one of the step's two points, scaled back and rounded up. Sorted, the
// crossings switch foreground on and off down the columns. Ours is the same arithmetic, but goes from crossing to
// crossing (one in five fine columns at most counts) instead of storing every fine point of the outline.

#include <algorithm>
#include <cmath>

#include "core/column_runs.hpp"
#include "core/error.hpp"

namespace lcx {
namespace {

constexpr double kScale = 5.0;
constexpr std::size_t kMostCrossings = 1 << 26;
constexpr double kLargest = 1e8;  // 5e8 fine pixels, so that sums and differences of two fit 32 bits

std::int64_t fine(double coordinate) { return static_cast<std::int32_t>(kScale * coordinate + 0.5); }

// A straight edge, stepped along its longer axis from its lower end there.
struct Edge {
  std::int64_t x0, y0, x1, y1;
  double slope;
  bool by_x;

  Edge(std::int64_t xa, std::int64_t ya, std::int64_t xb, std::int64_t yb) : x0(xa), y0(ya), x1(xb), y1(yb) {
    const std::int64_t dx = std::abs(x1 - x0);
    const std::int64_t dy = std::abs(y1 - y0);
    by_x = dx >= dy;
    if (by_x ? x0 > x1 : y0 > y1) {
      std::swap(x0, x1);
      std::swap(y0, y1);
    }
    slope = by_x ? static_cast<double>(y1 - y0) / static_cast<double>(dx)
                 : static_cast<double>(x1 - x0) / static_cast<double>(dy);
  }

  // The coordinate across the stepping axis after `step` steps, rounded as COCO's tools do: half up, towards zero.
  std::int64_t across(std::int64_t step) const {
    const auto from = static_cast<double>(by_x ? y0 : x0);
    return static_cast<std::int32_t>(from + slope * static_cast<double>(step) + 0.5);
  }

  // The least fine y of the step between fine columns `column` and `column` + 1.
  std::int64_t crossing(std::int64_t column) const {
    if (by_x) return std::min(across(column - x0), across(column + 1 - x0));
    // The first step on the far side, guessed and then corrected by the very arithmetic that rounds it.
    const bool rising = x1 > x0;
    const auto passed = [&](std::int64_t step) { return rising ? across(step) > column : across(step) <= column; };
    const std::int64_t last = y1 - y0;
    auto step =
        std::clamp<std::int64_t>(static_cast<std::int64_t>((static_cast<double>(column - x0) + 0.5) / slope), 1, last);
    while (step > 1 && passed(step - 1)) --step;
    while (step < last && !passed(step)) ++step;
    return y0 + step - 1;
  }
};

}  // namespace

void append_polygon(std::span<const double> xy, std::int64_t height, std::int64_t width,
                    std::vector<std::uint32_t>& edges) {
  check_mask_shape(height, width);
  for (std::size_t i = 0; i < xy.size(); ++i) {
    require_argument(std::abs(xy[i]) <= kLargest, "polygon coordinate ", i, " is ", xy[i],
                     "; must be finite and within 10^8");
  }
  const std::size_t count = xy.size() / 2;
  const std::size_t first = edges.size();
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t j = i + 1 < count ? i + 1 : 0;
    const Edge edge(fine(xy[2 * i]), fine(xy[2 * i + 1]), fine(xy[2 * j]), fine(xy[2 * j + 1]));
    const std::int64_t low = std::min(edge.x0, edge.x1);
    const std::int64_t high = std::max(edge.x0, edge.x1);
    const std::int64_t begin = low <= 2 ? 0 : (low + 2) / 5;     // least x with 5x + 2 >= low
    const std::int64_t end = high < 3 ? 0 : (high - 3) / 5 + 1;  // 5x + 3 <= high
    for (std::int64_t x = begin; x < std::min(end, width); ++x) {
      const double y = (static_cast<double>(edge.crossing(5 * x + 2)) + 0.5) / kScale - 0.5;
      const double row = std::ceil(std::clamp(y, 0.0, static_cast<double>(height)));
      edges.push_back(static_cast<std::uint32_t>(x * height + static_cast<std::int64_t>(row)));
    }
    require_argument(edges.size() - first <= kMostCrossings, "a polygon crosses more than 2^26 columns");
  }
  std::sort(edges.begin() + static_cast<std::ptrdiff_t>(first), edges.end());
  // Two crossings at one place switch on and off at once, and one behind the last pixel switches nothing.
  std::size_t kept = first;
  for (std::size_t i = first; i < edges.size(); ++i) {
    if (kept > first && edges[kept - 1] == edges[i]) {
      --kept;
    } else {
      edges[kept++] = edges[i];
    }
  }
  edges.resize(kept);
  const auto total = static_cast<std::uint32_t>(height * width);
  if ((kept - first) % 2 == 1) {
    if (edges.back() == total) {
      edges.pop_back();
    } else {
      edges.push_back(total);
    }
  }
}

}  // namespace lcx

// Every boundary, outer or hole, has a crack at the left end of some run. Runs are scanned in raster order; a
// left end not yet passed starts a new polygon (Note [Crack following]).

#include "ops/trace_contours/trace_contours.hpp"

namespace lcx::cpu {
namespace {

constexpr int kNorth = 3;

// The corner a crack starts from: its pixel's corner behind it on the left.
std::array<std::int32_t, 2> start_corner(const Crack& crack) {
  constexpr std::array<std::array<int, 2>, 4> kCorner{{{0, 0}, {0, 1}, {1, 1}, {1, 0}}};
  const auto& offset = kCorner[static_cast<std::size_t>(crack.heading)];
  return {static_cast<std::int32_t>(crack.y + offset[0]), static_cast<std::int32_t>(crack.x + offset[1])};
}

}  // namespace

Contours trace_contours(TensorView<const std::uint8_t, 2> mask, int threads) {
  const BitRows foreground = bits_nonzero(mask, threads);
  const RunMask runs = to_runs(foreground, threads);
  BitMask passed(runs.height, runs.width);
  Contours result;
  auto& polygons = result.polygons;
  for (std::int64_t y = 0; y < runs.height; ++y) {
    for (const Run* run = runs.begin_of(y); run != runs.end_of(y); ++run) {
      if (passed.test(y, run->begin)) continue;
      int heading = -1;
      std::int64_t twice_area = 0;
      follow_boundary(foreground, {y, run->begin, kNorth}, [&](const Crack& crack) {
        if (crack.heading == kNorth) passed.set(crack.y, crack.x);
        const auto corner = start_corner(crack);
        if (crack.heading != heading) polygons.points.push_back(corner);
        heading = crack.heading;
        const auto& step = kHeadings[static_cast<std::size_t>(heading)];
        twice_area += static_cast<std::int64_t>(corner[1]) * step[0] - static_cast<std::int64_t>(corner[0]) * step[1];
      });
      // Starting in the middle of a straight stretch leaves a first point that is no corner.
      if (heading == kNorth) {
        polygons.points.erase(polygons.points.begin() + polygons.offsets.back());
      }
      polygons.end_polygon();
      result.is_hole.push_back(twice_area < 0 ? 1 : 0);
    }
  }
  return result;
}

}  // namespace lcx::cpu

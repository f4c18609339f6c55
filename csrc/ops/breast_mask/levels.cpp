#include "ops/breast_mask/levels.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

#include "core/select.hpp"
#include "core/simd.hpp"
#include "ops/breast_mask/breast_mask_impl.hpp"

namespace lcx::cpu {
namespace {

// --- Quantisation ---

struct Range {
  float low = std::numeric_limits<float>::infinity();
  float high = -std::numeric_limits<float>::infinity();
};

/// Range of the finite values. Lanes are kept apart because the compiler may not reorder a float minimum.
LCX_SIMD_CLONES void extend_range(const float* values, std::int64_t count, Range& range) {
  constexpr int kLanes = 16;
  constexpr float kMax = std::numeric_limits<float>::max();
  float low[kLanes];
  float high[kLanes];
  for (int lane = 0; lane < kLanes; ++lane) low[lane] = range.low;
  for (int lane = 0; lane < kLanes; ++lane) high[lane] = range.high;
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (int lane = 0; lane < kLanes; ++lane) {
      const float value = values[i + lane];
      const bool finite = std::fabs(value) <= kMax;
      const float as_low = finite ? value : low[lane];
      const float as_high = finite ? value : high[lane];
      low[lane] = as_low < low[lane] ? as_low : low[lane];
      high[lane] = as_high > high[lane] ? as_high : high[lane];
    }
  }
  for (; i < count; ++i) {
    if (!(std::fabs(values[i]) <= kMax)) continue;
    low[0] = std::min(low[0], values[i]);
    high[0] = std::max(high[0], values[i]);
  }
  range.low = *std::min_element(low, low + kLanes);
  range.high = *std::max_element(high, high + kLanes);
}

LCX_SIMD_CLONES void quantise_fine(const float* values, std::int64_t count, Range range, std::uint16_t* fine) {
  const FineScale fine_range = fine_scale(range.low, range.high);
  for (std::int64_t i = 0; i < count; ++i) fine[i] = fine_level(fine_range, values[i]);
}

LCX_SIMD_CLONES void quantise_coarse(std::uint16_t* levels, std::int64_t count, std::uint64_t gain) {
  for (std::int64_t i = 0; i < count; ++i) levels[i] = coarse_level(levels[i], gain);
}

}  // namespace

std::vector<std::uint16_t> quantise(TensorView<const float, 2> image) {
  const std::int64_t width = image.shape[1];
  std::vector<float> gathered(image.has_dense_rows() ? 0 : static_cast<std::size_t>(width));
  const auto row = [&](std::int64_t y) -> const float* {
    if (image.has_dense_rows()) return image.row(y);
    for (std::int64_t x = 0; x < width; ++x) gathered[static_cast<std::size_t>(x)] = image(y, x);
    return gathered.data();
  };
  Range range;
  for (std::int64_t y = 0; y < image.shape[0]; ++y) extend_range(row(y), width, range);
  std::vector<std::uint16_t> levels(static_cast<std::size_t>(image.size()), 0);
  if (!(range.low < range.high)) return levels;
  for (std::int64_t y = 0; y < image.shape[0]; ++y) {
    quantise_fine(row(y), width, range, levels.data() + y * width);
  }
  const std::uint64_t white = value_at_rank(levels, (image.size() - 1) * kWhitePercentile / 100);
  quantise_coarse(levels.data(), image.size(), level_gain(white));
  return levels;
}

// --- Frames ---

namespace {

/// A row or a column.
struct Line {
  const std::uint16_t* data;
  std::int64_t length, stride;
  int operator[](std::int64_t i) const { return data[i * stride]; }
};

Line row_of(LevelsView levels, const Rectangle& area, std::int64_t y) {
  return {&levels(y, area.x0), area.width(), levels.strides[1]};
}

Line column_of(LevelsView levels, const Rectangle& area, std::int64_t x) {
  return {&levels(area.y0, x), area.height(), levels.strides[0]};
}

bool is_black(const Line& line) {
  std::int64_t bright = 0;
  for (std::int64_t i = 0; i < line.length; ++i) bright += line[i] > kBlackLevel;
  return is_black_line(bright, line.length);
}

void peel_black(LevelsView levels, Rectangle& area) {
  while (area.y0 < area.y1 && is_black(row_of(levels, area, area.y0))) ++area.y0;
  while (area.y0 < area.y1 && is_black(row_of(levels, area, area.y1 - 1))) --area.y1;
  while (area.x0 < area.x1 && is_black(column_of(levels, area, area.x0))) ++area.x0;
  while (area.x0 < area.x1 && is_black(column_of(levels, area, area.x1 - 1))) --area.x1;
}

/// How many of `count` lines, line_at(0) the outermost, belong to a white frame. It must end within the first
/// twelfth, in a fall along a quarter of the edge: breast, which never fades outwards, does not do that.
template <typename LineAt>
std::int64_t white_depth(std::int64_t count, const LineAt& line_at) {
  std::int64_t depth = 0;
  for (std::int64_t i = 0; i < count / 12; ++i) {
    const Line outer = line_at(i);
    const Line inner = line_at(i + 3);
    std::int64_t falls = 0;
    for (std::int64_t k = 0; k < outer.length; ++k) {
      falls += is_frame_fall(outer[k], inner[k]);
    }
    if (4 * falls >= outer.length) depth = i + 2;
  }
  return depth;
}

void peel_white(LevelsView levels, Rectangle& area) {
  const Rectangle a = area;
  area.y0 += white_depth(a.height(), [&](auto i) { return row_of(levels, a, a.y0 + i); });
  area.y1 -= white_depth(a.height(), [&](auto i) { return row_of(levels, a, a.y1 - 1 - i); });
  area.x0 += white_depth(a.width(), [&](auto i) { return column_of(levels, a, a.x0 + i); });
  area.x1 -= white_depth(a.width(), [&](auto i) { return column_of(levels, a, a.x1 - 1 - i); });
}

}  // namespace

LevelsView without_frames(LevelsView levels, Rectangle& area) {
  area = {0, levels.shape[0], 0, levels.shape[1]};
  peel_black(levels, area);
  peel_white(levels, area);
  peel_black(levels, area);
  return {levels.data + area.y0 * levels.strides[0] + area.x0, {area.height(), area.width()}, levels.strides, {}};
}

}  // namespace lcx::cpu

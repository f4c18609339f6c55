// Finding the breast
// ------------------
// On a digital mammogram the background is one exact grey value and the breast is nearly all the rest. On a
// digitised film the background has noise and haze, and letters, stickers and frames are as bright as the
// breast. Both are handled by the same steps. The image is quantised to 10 bits once, by a formula that
// leaves no room for rounding differences; all later arithmetic is on integers. `radius` is long side / 64, 8
// pixels (some 4 mm) on a grid of 512.
//
//  1. Frames. Rows and columns that are black are peeled off the edges; so are bright bands that end in a
//  sharp
//     fall along much of the edge. What is left touches the breast at its chest side even where the image was
//     padded.
//  2. Background. It is the one thing in a mammogram that is flat: most pixels below a threshold just above
//  it lie
//     in flat surroundings of one level, while tissue, even fat, never does so (on 363 images of films and
//     digital mammograms, 69 % and more; in the middle of a breast 3 % and less). An image that fails this
//     shows only breast, and the mask is all ones. The threshold is as low as noise allows, so that the skin
//     is inside.
//  3. Light leaks. A film's edge at the chest is often lit from the side, and the leak joins the breast. It
//  is
//     constant along the column: there the column's own dark level replaces the background's.
//  4. Shape. Closing and filling make fat that is as black as the background part of the breast. Opening by
//     `radius` parts it from letters, scratches and leaks, of the regions the best stays, and growing back
//     within the bright pixels restores nipple, corners and skin. Opening and closing smooth the outline.
//
// Everything is symmetric under mirroring, down to ties.

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdlib>
#include <limits>
#include <optional>
#include <vector>

#include "core/simd.hpp"
#include "ops/breast_mask/bit_image.hpp"
#include "ops/breast_mask/breast_mask.hpp"

namespace lcx::cpu {
namespace {

// Grey levels run from 0, the darkest pixel, to this, the 99th percentile: letters may be much brighter than
// the breast, and must not compress its range.
constexpr int kLevels = 1023;
constexpr std::int64_t kWhitePercentile = 99;
// At most this is black, in levels: 1 % of the range, above JPEG ringing and the noise of a black frame.
constexpr int kBlackLevel = 10;
// A white frame ends in a fall of at least this to below this, in levels: a quarter of the range.
constexpr int kFrameFall = 256;
// 3 x 3 neighbouring means, over 5 x 5 pixels each, within this many levels of each other are flat.
constexpr int kFlatRange = 16;
// Half the window, in levels, in which flat pixels count as one background.
constexpr int kModeHalfWindow = 8;
// The skin starts this many levels above the background: 1.5 %. More loses the skin line of films (a fading 2
// to 5 % of the range), less follows their haze.
constexpr int kSkinStep = 15;
// ... or this many times the median deviation below the background, some 4 standard deviations of its noise.
constexpr int kSpreadsAbove = 6;
// A column whose dark level is above this is no light leak but tissue from top to bottom.
constexpr int kLeakLevel = 256;

using Histogram = std::array<std::int64_t, kLevels + 1>;

/// Half-open.
struct Rectangle {
  std::int64_t y0, y1, x0, x1;
  std::int64_t height() const { return y1 - y0; }
  std::int64_t width() const { return x1 - x0; }
};

using LevelsView = TensorView<const std::uint16_t, 2>;

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

LCX_SIMD_CLONES void quantise_fine(const float* values, std::int64_t count, Range range,
                                   std::uint16_t* fine) {
  const double low = range.low;
  const double scale = 65535.0 / (static_cast<double>(range.high) - low);
  for (std::int64_t i = 0; i < count; ++i) {
    float value = values[i];
    value = value >= range.low ? value : range.low;  // NaN too
    value = value <= range.high ? value : range.high;
    fine[i] =
        static_cast<std::uint16_t>(static_cast<std::int32_t>((static_cast<double>(value) - low) * scale));
  }
}

LCX_SIMD_CLONES void quantise_coarse(std::uint16_t* levels, std::int64_t count, std::uint64_t gain) {
  for (std::int64_t i = 0; i < count; ++i) {
    const std::uint64_t level = (levels[i] * gain) >> 16;
    levels[i] = static_cast<std::uint16_t>(level < kLevels ? level : kLevels);
  }
}

/// The value at a rank, counted from 0, by its high byte first and its low byte then.
std::uint16_t value_at_rank(const std::vector<std::uint16_t>& values, std::int64_t rank) {
  // Four tables in turn: equal neighbours would wait for each other's count.
  std::array<std::array<std::int64_t, 256>, 4> high{};
  for (std::size_t i = 0; i < values.size(); ++i) ++high[i % 4][values[i] >> 8];
  std::size_t byte = 0;
  for (;; ++byte) {
    const std::int64_t count = high[0][byte] + high[1][byte] + high[2][byte] + high[3][byte];
    if (rank < count) break;
    rank -= count;
  }
  std::array<std::int64_t, 256> low{};
  for (const std::uint16_t value : values) {
    if (value >> 8 == static_cast<int>(byte)) ++low[value & 255];
  }
  std::size_t rest = 0;
  while (rank >= low[rest]) rank -= low[rest++];
  return static_cast<std::uint16_t>(byte << 8 | rest);
}

/// [H, W] row-major grey levels; all 0 for an image without contrast.
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
  const std::uint64_t gain = (std::uint64_t{kLevels} << 16) / (white ? white : 65535);
  quantise_coarse(levels.data(), image.size(), gain);
  return levels;
}

// --- Frames ---

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
  return 50 * bright <= line.length;
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
      falls += outer[k] - inner[k] >= kFrameFall && inner[k] < kFrameFall;
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

LevelsView without_frames(LevelsView levels, Rectangle& area) {
  area = {0, levels.shape[0], 0, levels.shape[1]};
  peel_black(levels, area);
  peel_white(levels, area);
  peel_black(levels, area);
  return {
      levels.data + area.y0 * levels.strides[0] + area.x0, {area.height(), area.width()}, levels.strides, {}};
}

// --- Background ---

/// Marks a pixel whose surroundings are not flat.
constexpr std::uint16_t kNotFlat = 0xffff;

LCX_SIMD_CLONES void sum_across(const std::uint16_t* padded, std::int64_t width, std::uint16_t* sums) {
  for (std::int64_t x = 0; x < width; ++x) {
    sums[x] =
        static_cast<std::uint16_t>(padded[x] + padded[x + 1] + padded[x + 2] + padded[x + 3] + padded[x + 4]);
  }
}

LCX_SIMD_CLONES void sum_down(const std::array<const std::uint16_t*, 5>& rows, std::int64_t width,
                              std::uint16_t* sums) {
  const std::uint16_t *a = rows[0], *b = rows[1], *c = rows[2], *d = rows[3], *e = rows[4];
  for (std::int64_t x = 0; x < width; ++x) {
    sums[x] = static_cast<std::uint16_t>(a[x] + b[x] + c[x] + d[x] + e[x]);
  }
}

LCX_SIMD_CLONES void range_down(const std::array<const std::uint16_t*, 3>& rows, std::int64_t width,
                                std::uint16_t* low, std::uint16_t* high) {
  const std::uint16_t *a = rows[0], *b = rows[1], *c = rows[2];
  for (std::int64_t x = 0; x < width; ++x) {
    low[x] = std::min(std::min(a[x], b[x]), c[x]);
    high[x] = std::max(std::max(a[x], b[x]), c[x]);
  }
}

LCX_SIMD_CLONES void flat_across(const std::uint16_t* low, const std::uint16_t* high,
                                 const std::uint16_t* sums, std::int64_t width, std::uint16_t* means) {
  for (std::int64_t x = 0; x < width; ++x) {
    const int least = std::min(std::min(low[x], low[x + 1]), low[x + 2]);
    const int most = std::max(std::max(high[x], high[x + 1]), high[x + 2]);
    const auto mean = static_cast<std::uint16_t>(sums[x] / 25);
    means[x] = most - least <= 25 * kFlatRange ? mean : kNotFlat;
  }
}

/// Repeats the first and last of `count` values, `margin` times each, around them.
void repeat_ends(std::uint16_t* values, std::int64_t count, std::int64_t margin) {
  std::fill_n(values, margin, values[margin]);
  std::fill_n(values + margin + count, margin, values[margin + count - 1]);
}

/// [H, W] mean level over 5 x 5 pixels, edge pixels repeated outwards, where it is flat; else kNotFlat.
std::vector<std::uint16_t> flat_means(LevelsView levels) {
  const std::int64_t height = levels.shape[0];
  const std::int64_t width = levels.shape[1];
  std::vector<std::uint16_t> across(static_cast<std::size_t>(height * width));
  std::vector<std::uint16_t> sums(across.size());
  std::vector<std::uint16_t> line(static_cast<std::size_t>(width + 4));
  for (std::int64_t y = 0; y < height; ++y) {
    std::copy_n(levels.row(y), width, line.data() + 2);
    repeat_ends(line.data(), width, 2);
    sum_across(line.data(), width, across.data() + y * width);
  }
  const auto row = [&](std::vector<std::uint16_t>& image, std::int64_t y) {
    return image.data() + std::clamp<std::int64_t>(y, 0, height - 1) * width;
  };
  for (std::int64_t y = 0; y < height; ++y) {
    sum_down({row(across, y - 2), row(across, y - 1), row(across, y), row(across, y + 1), row(across, y + 2)},
             width, row(sums, y));
  }
  std::vector<std::uint16_t>& means = across;
  std::vector<std::uint16_t> low(static_cast<std::size_t>(width + 2));
  std::vector<std::uint16_t> high(low.size());
  for (std::int64_t y = 0; y < height; ++y) {
    range_down({row(sums, y - 1), row(sums, y), row(sums, y + 1)}, width, low.data() + 1, high.data() + 1);
    repeat_ends(low.data(), width, 1);
    repeat_ends(high.data(), width, 1);
    flat_across(low.data(), high.data(), row(sums, y), width, row(means, y));
  }
  return means;
}

/// Counts key(y, x) over an image; keys above kLevels are left out.
template <typename Key>
Histogram count_levels(LevelsView levels, const Key& key) {
  std::array<std::array<std::uint32_t, kLevels + 2>, 4> counts{};  // see value_at_rank
  for (std::int64_t y = 0; y < levels.shape[0]; ++y) {
    for (std::int64_t x = 0; x < levels.shape[1]; ++x) {
      const int level = key(y, x);
      ++counts[static_cast<std::size_t>(x) % 4][static_cast<std::size_t>(std::min(level, kLevels + 1))];
    }
  }
  Histogram total{};
  for (std::size_t level = 0; level <= kLevels; ++level) {
    for (const auto& count : counts) total[level] += count[level];
  }
  return total;
}

std::int64_t count_between(const Histogram& counts, int first, int last) {
  std::int64_t count = 0;
  for (int level = std::max(first, 0); level <= std::min(last, kLevels); ++level) {
    count += counts[static_cast<std::size_t>(level)];
  }
  return count;
}

/// Lower median of the values up to `last`; there must be one.
int median_up_to(const Histogram& counts, int last) {
  std::int64_t rank = (count_between(counts, 0, last) - 1) / 2;
  std::size_t level = 0;
  while (rank >= counts[level]) rank -= counts[level++];
  return static_cast<int>(level);
}

/// The level above which a pixel is not background; none if the image shows no background.
std::optional<int> background_threshold(LevelsView levels) {
  const std::int64_t width = levels.shape[1];
  const std::vector<std::uint16_t> means = flat_means(levels);
  const auto mean_at = [&](std::int64_t y, std::int64_t x) -> int { return means[y * width + x]; };
  const Histogram flat = count_levels(levels, mean_at);
  std::int64_t best = 0;
  int centre = 0;
  for (int level = 0; level < kLevels / 2; ++level) {
    const std::int64_t count = count_between(flat, level - kModeHalfWindow, level + kModeHalfWindow);
    if (count > best) {
      best = count;
      centre = level;
    }
  }
  if (best == 0) return std::nullopt;
  const Histogram inside = count_levels(levels, [&](std::int64_t y, std::int64_t x) -> int {
    return std::abs(mean_at(y, x) - centre) <= kModeHalfWindow ? levels.row(y)[x] : kNotFlat;
  });
  const Histogram all =
      count_levels(levels, [&](std::int64_t y, std::int64_t x) -> int { return levels.row(y)[x]; });
  const int background = median_up_to(inside, kLevels);
  const int spread = background - median_up_to(all, background);
  const int threshold = background + std::max(kSkinStep, kSpreadsAbove * spread);
  if (4 * best < count_between(all, 0, threshold)) return std::nullopt;
  return threshold;
}

/// The threshold of a column lit by a light leak; none if it is not.
int leak_threshold(std::vector<std::uint16_t>& column, int threshold) {
  const auto height = static_cast<std::int64_t>(column.size());
  const auto rank = column.begin() + (height - 1) * 4 / 100;
  std::nth_element(column.begin(), rank, column.end());
  const int dark = *rank;
  if (dark <= threshold) return 0;
  const int raised = dark + dark / 4 + kSkinStep;
  const auto near = std::count_if(column.begin(), column.end(), [&](int level) { return level <= raised; });
  return dark <= kLeakLevel && 12 * near >= height ? raised : threshold;
}

/// [W] thresholds, raised in the outer eighths, as far in from each edge as a leak may go.
std::vector<int> column_thresholds(LevelsView levels, int threshold) {
  const std::int64_t width = levels.shape[1];
  std::vector<int> thresholds(static_cast<std::size_t>(width), threshold);
  std::vector<std::uint16_t> column(static_cast<std::size_t>(levels.shape[0]));
  for (const bool from_left : {true, false}) {
    for (std::int64_t i = 0; i < width / 8; ++i) {
      const std::int64_t x = from_left ? i : width - 1 - i;
      for (std::int64_t y = 0; y < levels.shape[0]; ++y) column[static_cast<std::size_t>(y)] = levels(y, x);
      const int raised = leak_threshold(column, threshold);
      if (raised == 0) break;
      thresholds[static_cast<std::size_t>(x)] = raised;
    }
  }
  return thresholds;
}

// --- Shape ---

BitImage above(LevelsView levels, const std::vector<int>& thresholds) {
  BitImage bright(levels.shape[0], levels.shape[1]);
  for (std::int64_t y = 0; y < levels.shape[0]; ++y) {
    const std::uint16_t* const row = levels.row(y);
    for (std::int64_t x = 0; x < levels.shape[1]; ++x) {
      const bool set = row[x] > thresholds[static_cast<std::size_t>(x)];
      bright.row(y)[x / 64] |= std::uint64_t{set} << (x % 64);
    }
  }
  return bright;
}

BitImage breast_shape(BitImage bright, std::int64_t radius) {
  bright = close(bright, (radius + 1) / 2);
  fill_holes(bright, radius);
  BitImage opened = bright;
  open(opened, radius, false);  // nothing outside: bands along the edge go too
  BitImage breast = keep_best_region(opened);
  for (int step = 0; step < 2 * radius; ++step) {
    breast.dilate_once(step, false);
    breast.intersect(bright);
  }
  open(breast, radius / 4, true);
  breast = close(breast, radius);
  fill_holes(breast, radius);
  return breast;
}

}  // namespace

void breast_mask(TensorView<const float, 2> image, TensorView<std::uint8_t, 2> mask) {
  for (std::int64_t y = 0; y < mask.shape[0]; ++y) {
    for (std::int64_t x = 0; x < mask.shape[1]; ++x) mask(y, x) = 0;
  }
  const std::vector<std::uint16_t> quantised = quantise(image);
  Rectangle area{};
  const LevelsView levels = without_frames({quantised.data(), image.shape}, area);
  if (levels.empty()) return;
  const std::optional<int> threshold = background_threshold(levels);
  if (!threshold) {
    for (std::int64_t y = area.y0; y < area.y1; ++y) {
      for (std::int64_t x = area.x0; x < area.x1; ++x) mask(y, x) = 1;
    }
    return;
  }
  const std::int64_t radius = (std::max(image.shape[0], image.shape[1]) + 32) / 64;
  const BitImage breast = breast_shape(above(levels, column_thresholds(levels, *threshold)), radius);
  for (std::int64_t y = 0; y < levels.shape[0]; ++y) {
    for (std::int64_t x = 0; x < levels.shape[1]; ++x) mask(area.y0 + y, area.x0 + x) = breast.at(y, x);
  }
}

}  // namespace lcx::cpu

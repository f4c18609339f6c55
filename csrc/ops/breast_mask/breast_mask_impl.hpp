#pragma once

#include <cstdint>

#include "core/host_device.hpp"

namespace lcx {

// What the CPU's and the GPU's way of finding the breast share: the numbers it is tuned by, and all arithmetic that is
// more than counting. See breast_mask_cpu.cpp for the whole.

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
/// Marks a pixel whose surroundings are not flat.
constexpr std::uint16_t kNotFlat = 0xffff;

/// The least and the greatest finite value of an image, made 0 and 65535.
struct FineScale {
  float low;
  float high;
  double scale;
};

LCX_HOST_DEVICE inline FineScale fine_scale(float low, float high) {
  return {low, high, 65535.0 / (static_cast<double>(high) - static_cast<double>(low))};
}

LCX_HOST_DEVICE inline std::uint16_t fine_level(const FineScale& fine, float value) {
  value = value >= fine.low ? value : fine.low;  // NaN too
  value = value <= fine.high ? value : fine.high;
  const double level = (static_cast<double>(value) - static_cast<double>(fine.low)) * fine.scale;
  return static_cast<std::uint16_t>(static_cast<std::int32_t>(level));
}

/// By how much fine levels are multiplied (and divided by 65536) so that `white` becomes kLevels.
LCX_HOST_DEVICE inline std::uint64_t level_gain(std::uint64_t white) {
  return (std::uint64_t{kLevels} << 16) / (white ? white : 65535);
}

LCX_HOST_DEVICE inline std::uint16_t coarse_level(std::uint16_t fine, std::uint64_t gain) {
  const std::uint64_t level = (fine * gain) >> 16;
  return static_cast<std::uint16_t>(level < kLevels ? level : kLevels);
}

/// Whether a line of so many pixels, so many of them bright, belongs to a black frame.
LCX_HOST_DEVICE inline bool is_black_line(std::int64_t bright, std::int64_t length) { return 50 * bright <= length; }

/// Whether levels fall from `outer` to `inner` as they do where a white frame ends.
LCX_HOST_DEVICE inline bool is_frame_fall(int outer, int inner) {
  return outer - inner >= kFrameFall && inner < kFrameFall;
}

/// The level above which a pixel is not background, of the background's level and its median deviation below it.
LCX_HOST_DEVICE inline int skin_threshold(int background, int spread) {
  const int above = kSpreadsAbove * spread;
  return background + (above > kSkinStep ? above : kSkinStep);
}

/// The threshold of a column lit by a light leak whose dark level this is.
LCX_HOST_DEVICE inline int raised_threshold(int dark) { return dark + dark / 4 + kSkinStep; }

/// The shape's scale: 8 pixels on a grid of 512.
LCX_HOST_DEVICE inline std::int64_t shape_radius(std::int64_t height, std::int64_t width) {
  return ((height > width ? height : width) + 32) / 64;
}

}  // namespace lcx

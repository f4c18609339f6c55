#pragma once

#include <cstdint>
#include <vector>

#include "core/half.hpp"
#include "core/region_statistics.hpp"
#include "core/tensor_view.hpp"
#include "core/trace.hpp"

namespace lcx {

struct LesionOptions {
  float low = 0.5F;           ///< a lesion's outline runs where the map crosses this
  float high = 0.5F;          ///< a lesion holds at least one pixel this high
  std::int64_t min_area = 1;  ///< pixels, after hole filling
  bool fill_holes = true;

  friend bool operator==(const LesionOptions&, const LesionOptions&) = default;
};

/// One entry per lesion, in raster order of its first pixel.
struct Lesions {
  std::vector<RegionGeometry> geometry;
  std::vector<RegionValues> values;
  Polygons<double> outlines;  ///< one outer outline per lesion
};

/// Finds lesions in a probability map.
///
/// map  [H, W] float32 or float16, where NaN counts as below `low`, or uint8, which counts 255ths. Read as it is: no
///      converted copy is made.
///
/// 1. Pixels >= low form a mask; its 8-connected components without a pixel >= high are dropped (hysteresis).
/// 2. Holes are filled (background not 4-connected to the border); what lies within one joins its component.
/// 3. Components smaller than min_area are dropped.
/// 4. The rest is measured over all of its pixels, filled holes included (NaN counts as 0), and outlined: the
/// outer
///    boundary, one point for each pair of neighbouring pixels it separates, placed between their centres
///    where the map, interpolated linearly, equals `low` (at the image's edge: on the edge; next to NaN:
///    half-way).
/// stream: for arrays on a GPU; waited for once, twice where there are more than 2^9 lesions or 2^14 outline points.
/// Throws Error(kInvalidArgument) unless low <= high, both finite, and min_area >= 1; Error(kUnsupported) for a map on
/// a GPU that is not float32.
Lesions find_lesions(TensorView<const float, 2> map, const LesionOptions& options, int threads = 0, Stream stream = {});
Lesions find_lesions(TensorView<const Half, 2> map, const LesionOptions& options, int threads = 0, Stream stream = {});
Lesions find_lesions(TensorView<const std::uint8_t, 2> map, const LesionOptions& options, int threads = 0,
                     Stream stream = {});

namespace cpu {
Lesions find_lesions(TensorView<const float, 2> map, const LesionOptions& options, int threads);
Lesions find_lesions(TensorView<const Half, 2> map, const LesionOptions& options, int threads);
Lesions find_lesions(TensorView<const std::uint8_t, 2> map, const LesionOptions& options, int threads);
}  // namespace cpu

namespace cuda {
Lesions find_lesions(TensorView<const float, 2> map, const LesionOptions& options, Stream stream);
}  // namespace cuda

}  // namespace lcx

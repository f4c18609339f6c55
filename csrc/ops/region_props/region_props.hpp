#pragma once

#include <cstdint>
#include <vector>

#include "core/region_statistics.hpp"
#include "core/tensor_view.hpp"

namespace lcx {

/// One entry per label 1 .. count.
struct RegionProps {
  std::vector<RegionGeometry> geometry;
  std::vector<RegionValues> values;  ///< empty where no values were given
};

/// Measures labelled regions.
///
/// labels  [H, W] int32, 0 = background, otherwise 1 .. count; a label without pixels has area 0
/// values  [H, W] float32, where NaN counts as 0, or empty
/// stream  for arrays on a GPU; waited for once, to return the measurements
/// Throws Error(kInvalidArgument) if shapes or devices differ or a label is outside 0 .. count.
RegionProps region_props(TensorView<const std::int32_t, 2> labels, TensorView<const float, 2> values,
                         std::int32_t count, Stream stream = {});

/// Summarises the values of one region given as runs, as fill_polygons returns them; NaN counts as 0.
///
/// values  [H, W] float32
/// runs    [M, 3] int32 (y, x_begin, x_end), half-open
/// All 0 where there is no pixel. Throws Error(kInvalidArgument) for runs that leave the image, and Error(kUnsupported)
/// for arrays on a GPU.
RegionValues measure_runs(TensorView<const float, 2> values, TensorView<const std::int32_t, 2> runs);

namespace cpu {
RegionValues measure_runs(TensorView<const float, 2> values, TensorView<const std::int32_t, 2> runs);
RegionProps region_props(TensorView<const std::int32_t, 2> labels, TensorView<const float, 2> values,
                         std::int32_t count);
}  // namespace cpu

namespace cuda {
RegionProps region_props(TensorView<const std::int32_t, 2> labels, TensorView<const float, 2> values,
                         std::int32_t count, Stream stream);
}  // namespace cuda

}  // namespace lcx

#include "ops/fill_polygons/fill_polygons.hpp"

#include <cmath>

#include "core/error.hpp"

namespace lcx {

RunMask fill_polygons(TensorView<const double, 2> points, TensorView<const std::int64_t, 1> offsets,
                      std::int64_t height, std::int64_t width) {
  require_argument(points.shape[1] == 2, "points are ", shape_text(points.shape), "; must be [P, 2]");
  require_argument(height >= 0 && width >= 0 && height < (1LL << 31) && width < (1LL << 31) - 64, "image ", height,
                   " x ", width, "; each side must be within 0 and 2^31 - 65");
  const std::int64_t count = offsets.shape[0] - 1;
  require_argument(count >= 0 && offsets(0) == 0 && offsets(count) == points.shape[0],
                   "offsets must run from 0 to the number of points");
  for (std::int64_t k = 0; k < count; ++k) {
    require_argument(offsets(k) <= offsets(k + 1), "offsets must ascend");
  }
  for (std::int64_t i = 0; i < points.shape[0]; ++i) {
    require_argument(std::isfinite(points(i, 0)) && std::isfinite(points(i, 1)), "point ", i, " is not finite");
  }
  require(points.device.type == DeviceType::kCpu, ErrorCode::kUnsupported,
          "fill_polygons works on the CPU; points are on ", to_string(points.device));
  return cpu::fill_polygons(points, offsets, height, width);
}

}  // namespace lcx

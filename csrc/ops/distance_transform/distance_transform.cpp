#include "ops/distance_transform/distance_transform.hpp"

#include <cmath>

#include "core/error.hpp"

namespace lcx {

void distance_transform(TensorView<const std::uint8_t, 2> mask, std::array<double, 2> spacing,
                        TensorView<float, 2> distance, int threads) {
  require(mask.device.type == DeviceType::kCpu, ErrorCode::kUnsupported, "mask is on ", to_string(mask.device),
          "; distance_transform is for the CPU");
  require_argument(mask.shape == distance.shape, "mask is ", shape_text(mask.shape), ", distance ",
                   shape_text(distance.shape), "; shapes must be equal");
  for (const double side : spacing) {
    require_argument(std::isfinite(side) && side > 0.0, "spacing ", side, "; must be a positive number");
  }
  if (mask.empty()) return;
  cpu::distance_transform(mask, spacing, distance, threads);
}

}  // namespace lcx

#include "ops/hysteresis/hysteresis.hpp"

#include <cmath>

#include "core/error.hpp"

namespace lcx {

void hysteresis(TensorView<const float, 2> values, float low, float high, Connectivity connectivity,
                TensorView<std::uint8_t, 2> mask, int threads) {
  require_argument(values.shape == mask.shape, "values are ", shape_text(values.shape), ", mask ",
                   shape_text(mask.shape), "; shapes must be equal");
  require_argument(std::isfinite(low) && std::isfinite(high) && low <= high, "thresholds low ", low, ", high ", high,
                   "; both must be finite, low at most high");
  require(values.device.type == DeviceType::kCpu && mask.device.type == DeviceType::kCpu, ErrorCode::kUnsupported,
          "hysteresis works on the CPU; values are on ", to_string(values.device));
  if (values.empty()) return;
  cpu::hysteresis(values, low, high, connectivity, mask, threads);
}

}  // namespace lcx

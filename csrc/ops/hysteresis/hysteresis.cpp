#include "ops/hysteresis/hysteresis.hpp"

#include <cmath>

#include "core/error.hpp"

namespace lcx {

void hysteresis(TensorView<const float, 2> values, float low, float high, Connectivity connectivity,
                TensorView<std::uint8_t, 2> mask, int threads, Stream stream) {
  require_argument(values.shape == mask.shape, "values are ", shape_text(values.shape), ", mask ",
                   shape_text(mask.shape), "; shapes must be equal");
  require_argument(std::isfinite(low) && std::isfinite(high) && low <= high, "thresholds low ", low, ", high ", high,
                   "; both must be finite, low at most high");
  require_argument(values.device == mask.device, "values are on ", to_string(values.device), ", mask on ",
                   to_string(mask.device), "; both must be on one device");
  if (values.empty()) return;
  if (values.device.type == DeviceType::kCuda) {
    cuda::hysteresis(values, low, high, connectivity, mask, stream);
  } else {
    cpu::hysteresis(values, low, high, connectivity, mask, threads);
  }
}

}  // namespace lcx

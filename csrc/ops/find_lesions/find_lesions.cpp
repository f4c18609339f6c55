#include "ops/find_lesions/find_lesions.hpp"

#include <cmath>

#include "core/error.hpp"

namespace lcx {

Lesions find_lesions(TensorView<const float, 2> map, const LesionOptions& options, int threads, Stream stream) {
  require_argument(std::isfinite(options.low) && std::isfinite(options.high) && options.low <= options.high,
                   "thresholds low ", options.low, ", high ", options.high, "; both must be finite, low at most high");
  require_argument(options.min_area >= 1, "min_area ", options.min_area, "; must be at least 1 pixel");
  if (map.empty()) return {};
  if (map.device.type == DeviceType::kCuda) return cuda::find_lesions(map, options, stream);
  return cpu::find_lesions(map, options, threads);
}

}  // namespace lcx

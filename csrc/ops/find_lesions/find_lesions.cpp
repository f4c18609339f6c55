#include "ops/find_lesions/find_lesions.hpp"

#include <cmath>

#include "core/error.hpp"

namespace lcx {

namespace {

void check(const LesionOptions& options) {
  require_argument(std::isfinite(options.low) && std::isfinite(options.high) && options.low <= options.high,
                   "thresholds low ", options.low, ", high ", options.high, "; both must be finite, low at most high");
  require_argument(options.min_area >= 1, "min_area ", options.min_area, "; must be at least 1 pixel");
}

// The dtypes that have no twin on a GPU.
template <typename T>
Lesions find_on_cpu(TensorView<const T, 2> map, const LesionOptions& options, int threads) {
  check(options);
  require(map.device.type == DeviceType::kCpu, ErrorCode::kUnsupported, "find_lesions takes float32 on ",
          to_string(map.device), "; float16 and uint8 on the CPU only");
  if (map.empty()) return {};
  return cpu::find_lesions(map, options, threads);
}

}  // namespace

Lesions find_lesions(TensorView<const float, 2> map, const LesionOptions& options, int threads, Stream stream) {
  check(options);
  if (map.empty()) return {};
  if (map.device.type == DeviceType::kCuda) return cuda::find_lesions(map, options, stream);
  return cpu::find_lesions(map, options, threads);
}

Lesions find_lesions(TensorView<const Half, 2> map, const LesionOptions& options, int threads, Stream) {
  return find_on_cpu(map, options, threads);
}

Lesions find_lesions(TensorView<const std::uint8_t, 2> map, const LesionOptions& options, int threads, Stream) {
  return find_on_cpu(map, options, threads);
}

}  // namespace lcx

#include "ops/trace_contours/trace_contours.hpp"

namespace lcx {

Contours trace_contours(TensorView<const std::uint8_t, 2> mask, int threads, Stream stream) {
  if (mask.empty()) return {};
  if (mask.device.type == DeviceType::kCuda) return cuda::trace_contours(mask, stream);
  return cpu::trace_contours(mask, threads);
}

}  // namespace lcx

#include "ops/remove_small/remove_small.hpp"

#include "core/error.hpp"

namespace lcx {

void remove_small(TensorView<const std::uint8_t, 2> mask, std::int64_t min_area, Connectivity connectivity,
                  TensorView<std::uint8_t, 2> kept, int threads) {
  require_argument(mask.shape == kept.shape, "mask is ", shape_text(mask.shape), ", kept ", shape_text(kept.shape),
                   "; shapes must be equal");
  require_argument(min_area >= 0, "min_area ", min_area, "; must be at least 0 pixels");
  require(mask.device.type == DeviceType::kCpu && kept.device.type == DeviceType::kCpu, ErrorCode::kUnsupported,
          "remove_small works on the CPU; mask is on ", to_string(mask.device));
  if (mask.empty()) return;
  cpu::remove_small(mask, min_area, connectivity, kept, threads);
}

}  // namespace lcx

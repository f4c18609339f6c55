#include "ops/remove_small/remove_small.hpp"

#include "core/error.hpp"

namespace lcx {

void remove_small(TensorView<const std::uint8_t, 2> mask, std::int64_t min_area, Connectivity connectivity,
                  TensorView<std::uint8_t, 2> kept, int threads, Stream stream) {
  require_argument(mask.shape == kept.shape, "mask is ", shape_text(mask.shape), ", kept ", shape_text(kept.shape),
                   "; shapes must be equal");
  require_argument(min_area >= 0, "min_area ", min_area, "; must be at least 0 pixels");
  require_argument(mask.device == kept.device, "mask is on ", to_string(mask.device), ", kept on ",
                   to_string(kept.device), "; both must be on one device");
  if (mask.empty()) return;
  if (mask.device.type == DeviceType::kCuda) {
    cuda::remove_small(mask, min_area, connectivity, kept, stream);
  } else {
    cpu::remove_small(mask, min_area, connectivity, kept, threads);
  }
}

}  // namespace lcx

#include "ops/spread_mask/spread_mask.hpp"

#include "core/error.hpp"

namespace lcx {

void spread_mask(TensorView<const std::uint8_t, 2> mask, std::array<double, 2> scale,
                 std::array<std::int64_t, 2> image_shape, TensorView<std::uint8_t, 2> spread) {
  require_argument(!mask.empty(), "mask is ", shape_text(mask.shape), "; it must not be empty");
  require_argument(image_shape[0] > 0 && image_shape[1] > 0, "image shape ", shape_text(image_shape),
                   "; each side must be at least 1");
  require_argument(scale[0] > 0.0 && scale[1] > 0.0, "scale ", scale[0], ", ", scale[1], "; must be positive");
  require(mask.device.type == DeviceType::kCpu, ErrorCode::kUnsupported, "spread_mask works on the CPU; mask is on ",
          to_string(mask.device));
  if (spread.empty()) return;
  cpu::spread_mask(mask, scale, image_shape, spread);
}

}  // namespace lcx

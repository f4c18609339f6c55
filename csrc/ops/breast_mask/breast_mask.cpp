#include "ops/breast_mask/breast_mask.hpp"

#include "core/error.hpp"

namespace lcx {

void breast_mask(TensorView<const float, 2> image, TensorView<std::uint8_t, 2> mask, Stream stream) {
  require_argument(image.shape == mask.shape, "breast_mask: image ", shape_text(image.shape), " and mask ",
                   shape_text(mask.shape), " must have one shape");
  require_argument(image.device == mask.device, "breast_mask: image is on ", to_string(image.device), " and mask on ",
                   to_string(mask.device), "; both must be on one device");
  if (image.empty()) {
    return;
  }
  if (image.device.type == DeviceType::kCpu) {
    cpu::breast_mask(image, mask);
  } else {
    cuda::breast_mask(image, mask, stream);
  }
}

}  // namespace lcx

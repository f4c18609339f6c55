#include "ops/fill_holes/fill_holes.hpp"

#include "core/error.hpp"

namespace lcx {

void fill_holes(TensorView<const std::uint8_t, 2> mask, TensorView<std::uint8_t, 2> filled, int threads,
                Stream stream) {
  require_argument(mask.shape == filled.shape, "mask is ", shape_text(mask.shape), ", filled ",
                   shape_text(filled.shape), "; shapes must be equal");
  require_argument(mask.device == filled.device, "mask is on ", to_string(mask.device), ", filled on ",
                   to_string(filled.device), "; both must be on one device");
  if (mask.empty()) return;
  if (mask.device.type == DeviceType::kCuda) {
    cuda::fill_holes(mask, filled, stream);
  } else {
    cpu::fill_holes(mask, filled, threads);
  }
}

}  // namespace lcx

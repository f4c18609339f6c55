#include "ops/label_components/label_components.hpp"

#include "core/error.hpp"

namespace lcx {

std::int32_t label_components(TensorView<const std::uint8_t, 2> mask, Connectivity connectivity,
                              TensorView<std::int32_t, 2> labels, int threads, Stream stream) {
  require_argument(mask.shape == labels.shape, "mask is ", shape_text(mask.shape), ", labels ",
                   shape_text(labels.shape), "; shapes must be equal");
  require_argument(mask.device == labels.device, "mask is on ", to_string(mask.device), ", labels on ",
                   to_string(labels.device), "; both must be on one device");
  if (mask.empty()) return 0;
  if (mask.device.type == DeviceType::kCuda) return cuda::label_components(mask, connectivity, labels, stream);
  return cpu::label_components(mask, connectivity, labels, threads);
}

}  // namespace lcx

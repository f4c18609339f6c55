#include "ops/region_props/region_props.hpp"

#include "core/error.hpp"

namespace lcx {

RegionProps region_props(TensorView<const std::int32_t, 2> labels, TensorView<const float, 2> values,
                         std::int32_t count, Stream stream) {
  require_argument(count >= 0, "count ", count, "; must not be negative");
  require_argument(values.data == nullptr || values.shape == labels.shape, "labels are ", shape_text(labels.shape),
                   ", values ", shape_text(values.shape), "; shapes must be equal");
  require_argument(values.data == nullptr || values.device == labels.device, "labels are on ", to_string(labels.device),
                   ", values on ", to_string(values.device), "; both must be on one device");
  if (labels.device.type == DeviceType::kCuda) return cuda::region_props(labels, values, count, stream);
  return cpu::region_props(labels, values, count);
}

}  // namespace lcx

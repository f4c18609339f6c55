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

RegionValues measure_runs(TensorView<const float, 2> values, TensorView<const std::int32_t, 2> runs) {
  require_argument(runs.empty() || runs.shape[1] == 3, "runs are ", shape_text(runs.shape), "; must be [M, 3]");
  require(values.device.type == DeviceType::kCpu, ErrorCode::kUnsupported,
          "measure_runs works on the CPU; values are on ", to_string(values.device));
  for (std::int64_t i = 0; i < (runs.empty() ? 0 : runs.shape[0]); ++i) {
    require_argument(runs(i, 0) >= 0 && runs(i, 0) < values.shape[0] && runs(i, 1) >= 0 && runs(i, 1) <= runs(i, 2) &&
                         runs(i, 2) <= values.shape[1],
                     "run ", i, " leaves the image, ", shape_text(values.shape));
  }
  return cpu::measure_runs(values, runs);
}

}  // namespace lcx

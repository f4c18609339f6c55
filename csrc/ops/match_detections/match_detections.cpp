#include "ops/match_detections/match_detections.hpp"

#include <cmath>

#include "core/error.hpp"

namespace lcx {
namespace {

template <typename T>
void check_table(TensorView<T, 2> table, std::int64_t rows, std::int64_t columns, Device device, const char* name) {
  const TensorView<T, 2> dense(table.data, {rows, columns}, device);
  require_argument(table.shape == dense.shape && table.strides == dense.strides, name, " is ", shape_text(table.shape),
                   "; must be dense ", shape_text(dense.shape));
  require_argument(table.device == device, name, " is on ", to_string(table.device), ", iou on ", to_string(device));
}

void check_flags(TensorView<const std::uint8_t, 1> flags, std::int64_t count, Device device, const char* name) {
  if (flags.data == nullptr) return;
  require_argument(flags.shape[0] == count, name, " has ", flags.shape[0], " entries; must be one for each of ", count,
                   " references");
  require_argument(flags.device == device, name, " is on ", to_string(flags.device), ", iou on ", to_string(device));
}

}  // namespace

template <typename T>
void match_detections(TensorView<const T, 2> iou, std::span<const double> thresholds,
                      TensorView<const std::uint8_t, 1> ignore, TensorView<const std::uint8_t, 1> crowd,
                      const MatchTables& tables, Stream stream) {
  const auto [detections, references] = iou.shape;
  const auto rows = static_cast<std::int64_t>(thresholds.size());
  require_argument(detections < (1LL << 31) && references < (1LL << 31), "iou is ", shape_text(iou.shape),
                   "; sides must be below 2^31");
  for (std::size_t t = 0; t < thresholds.size(); ++t) {
    require_argument(std::isfinite(thresholds[t]), "threshold ", t, " is ", thresholds[t], "; must be finite");
  }
  check_flags(ignore, references, iou.device, "ignore");
  check_flags(crowd, references, iou.device, "crowd");
  check_table(tables.detection_to_reference, rows, detections, iou.device, "detection_to_reference");
  check_table(tables.reference_to_detection, rows, references, iou.device, "reference_to_detection");
  check_table(tables.detection_ignored, rows, detections, iou.device, "detection_ignored");
  // Without detections or references there still are tables to fill with "unmatched".
  if (rows == 0 || (detections == 0 && references == 0)) return;
  if (iou.device.type == DeviceType::kCuda) {
    return cuda::match_detections(iou, thresholds, ignore, crowd, tables, stream);
  }
  cpu::match_detections(iou, thresholds, ignore, crowd, tables);
}

template void match_detections(TensorView<const float, 2>, std::span<const double>, TensorView<const std::uint8_t, 1>,
                               TensorView<const std::uint8_t, 1>, const MatchTables&, Stream);
template void match_detections(TensorView<const double, 2>, std::span<const double>, TensorView<const std::uint8_t, 1>,
                               TensorView<const std::uint8_t, 1>, const MatchTables&, Stream);

}  // namespace lcx

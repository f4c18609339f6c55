#include "ops/mask_iou/mask_iou.hpp"

#include "core/error.hpp"

namespace lcx {
namespace {

void check_output(std::int64_t detections, std::int64_t references, TensorView<const std::uint8_t, 1> crowd,
                  TensorView<double, 2> iou) {
  require_argument(crowd.data == nullptr || crowd.shape[0] == references, "crowd has ", crowd.shape[0],
                   " entries; must be one for each of ", references, " reference masks");
  require_argument(crowd.data == nullptr || crowd.device == iou.device, "crowd is on ", to_string(crowd.device),
                   ", iou on ", to_string(iou.device), "; both must be on one device");
  const TensorView<double, 2> dense(iou.data, {detections, references}, iou.device);
  require_argument(iou.shape == dense.shape && iou.strides == dense.strides, "iou is ", shape_text(iou.shape),
                   "; must be dense ", shape_text(dense.shape));
}

}  // namespace

void mask_iou(TensorView<const std::uint8_t, 2> predicted, TensorView<const std::uint8_t, 2> reference,
              TensorView<const std::uint8_t, 1> crowd, TensorView<double, 2> iou, int threads, Stream stream) {
  require_argument(predicted.shape[1] == reference.shape[1], "predicted masks have ", predicted.shape[1],
                   " pixels, reference masks ", reference.shape[1], "; must be equal");
  require_argument(predicted.device == reference.device && predicted.device == iou.device, "predicted masks are on ",
                   to_string(predicted.device), ", reference masks on ", to_string(reference.device),
                   "; both must be on one device");
  check_output(predicted.shape[0], reference.shape[0], crowd, iou);
  if (iou.empty()) return;
  if (iou.device.type == DeviceType::kCuda) return cuda::mask_iou(predicted, reference, crowd, iou, stream);
  cpu::mask_iou(predicted, reference, crowd, iou, threads);
}

void mask_iou(std::span<const ColumnRunsView> predicted, std::span<const ColumnRunsView> reference,
              TensorView<const std::uint8_t, 1> crowd, TensorView<double, 2> iou, int threads) {
  require(iou.device.type == DeviceType::kCpu, ErrorCode::kUnsupported,
          "mask_iou of run-length masks works on the CPU; iou is on ", to_string(iou.device));
  check_output(static_cast<std::int64_t>(predicted.size()), static_cast<std::int64_t>(reference.size()), crowd, iou);
  if (iou.empty()) return;
  cpu::mask_iou(predicted, reference, crowd, iou, threads);
}

}  // namespace lcx

#include "ops/box_iou/box_iou.hpp"

#include "core/error.hpp"

namespace lcx {

template <typename T>
void box_iou(TensorView<const T, 2> predicted, TensorView<const T, 2> reference, BoxFormat format,
             TensorView<const std::uint8_t, 1> crowd, TensorView<T, 2> iou, int threads, Stream stream) {
  require_argument(predicted.shape[1] == 4, "predicted boxes are ", shape_text(predicted.shape), "; must be [D, 4]");
  require_argument(reference.shape[1] == 4, "reference boxes are ", shape_text(reference.shape), "; must be [G, 4]");
  require_argument(crowd.data == nullptr || crowd.shape[0] == reference.shape[0], "crowd has ", crowd.shape[0],
                   " entries; must be one for each of ", reference.shape[0], " reference boxes");
  const TensorView<T, 2> dense(iou.data, {predicted.shape[0], reference.shape[0]}, iou.device);
  require_argument(iou.shape == dense.shape && iou.strides == dense.strides, "iou is ", shape_text(iou.shape),
                   "; must be dense ", shape_text(dense.shape));
  require_argument(predicted.device == reference.device && predicted.device == iou.device &&
                       (crowd.data == nullptr || crowd.device == iou.device),
                   "predicted boxes are on ", to_string(predicted.device), ", reference boxes on ",
                   to_string(reference.device), "; all must be on one device");
  if (iou.empty()) return;
  if (iou.device.type == DeviceType::kCuda) return cuda::box_iou(predicted, reference, format, crowd, iou, stream);
  cpu::box_iou(predicted, reference, format, crowd, iou, threads);
}

template void box_iou(TensorView<const float, 2>, TensorView<const float, 2>, BoxFormat,
                      TensorView<const std::uint8_t, 1>, TensorView<float, 2>, int, Stream);
template void box_iou(TensorView<const double, 2>, TensorView<const double, 2>, BoxFormat,
                      TensorView<const std::uint8_t, 1>, TensorView<double, 2>, int, Stream);

}  // namespace lcx

#include "ops/encode_rle/encode_rle.hpp"

#include "core/error.hpp"

namespace lcx {

ColumnRuns encode_rle(TensorView<const std::uint8_t, 2> mask) {
  check_mask_shape(mask.shape[0], mask.shape[1]);
  require(mask.device.type == DeviceType::kCpu, ErrorCode::kUnsupported, "encode_rle works on the CPU; mask is on ",
          to_string(mask.device));
  if (mask.empty()) return {mask.shape[0], mask.shape[1], {}};
  return cpu::encode_rle(mask);
}

void decode_rle(ColumnRunsView runs, TensorView<std::uint8_t, 2> mask) {
  require_argument(mask.shape[0] == runs.height && mask.shape[1] == runs.width, "mask is ", shape_text(mask.shape),
                   "; the runs are of ", runs.height, " x ", runs.width, " pixels");
  require(mask.device.type == DeviceType::kCpu, ErrorCode::kUnsupported, "decode_rle works on the CPU; mask is on ",
          to_string(mask.device));
  if (mask.empty()) return;
  require_argument(
      (mask.shape[0] == 1 || mask.strides[0] == 1) && (mask.shape[1] == 1 || mask.strides[1] == runs.height),
      "mask's columns must be dense and one behind another");
  cpu::decode_rle(runs, mask);
}

}  // namespace lcx

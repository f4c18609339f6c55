#include "ops/percentiles/percentiles.hpp"

#include "core/error.hpp"

namespace lcx {

std::vector<double> percentiles(TensorView<const float, 2> values, TensorView<const std::uint8_t, 2> mask,
                                std::span<const double> ranks, Stream stream) {
  require_argument(mask.data == nullptr || mask.shape == values.shape, "values are ", shape_text(values.shape),
                   ", mask ", shape_text(mask.shape), "; shapes must be equal");
  for (const double rank : ranks) {
    require_argument(rank >= 0.0 && rank <= 100.0, "percentile ", rank, "; must be within 0 and 100");
  }
  require_argument(mask.data == nullptr || mask.device == values.device, "values are on ", to_string(values.device),
                   ", mask on ", to_string(mask.device), "; both must be on one device");
  if (values.device.type == DeviceType::kCuda) return cuda::percentiles(values, mask, ranks, stream);
  return cpu::percentiles(values, mask, ranks);
}

}  // namespace lcx

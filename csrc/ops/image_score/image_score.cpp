#include "ops/image_score/image_score.hpp"

#include "core/error.hpp"

namespace lcx {

double image_score(TensorView<const float, 2> probability, TensorView<const std::uint8_t, 2> mask,
                   const ImageScoring& scoring) {
  require_argument(mask.shape == probability.shape, "probability is ", shape_text(probability.shape), ", mask ",
                   shape_text(mask.shape), "; shapes must be equal");
  require_argument(scoring.lse_r > 0.0, "lse_r ", scoring.lse_r, "; must be positive");
  require_argument(scoring.top_fraction >= 0.0 && scoring.top_fraction <= 1.0, "top_fraction ", scoring.top_fraction,
                   "; must be within 0 and 1");
  require(probability.device.type == DeviceType::kCpu, ErrorCode::kUnsupported,
          "image_score works on the CPU; probability is on ", to_string(probability.device));
  if (probability.empty()) return 0.0;
  return cpu::image_score(probability, mask, scoring);
}

}  // namespace lcx

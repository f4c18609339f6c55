#include "ops/pixel_histogram/pixel_histogram.hpp"

#include "core/error.hpp"

namespace lcx {

void pixel_histogram(TensorView<const std::uint16_t, 1> scores, TensorView<const std::uint8_t, 1> labels,
                     TensorView<std::int64_t, 2> counts, int threads, Stream stream) {
  require_argument(scores.shape == labels.shape, "scores are ", shape_text(scores.shape), ", labels ",
                   shape_text(labels.shape), "; shapes must be equal");
  require_argument(counts.shape[0] == 2 && counts.shape[1] == kScoreBins && counts.strides[0] == kScoreBins &&
                       counts.strides[1] == 1,
                   "counts are ", shape_text(counts.shape), "; needed: [2, 65536], dense");
  require_argument(scores.device == labels.device && scores.device == counts.device, "scores are on ",
                   to_string(scores.device), ", labels on ", to_string(labels.device), ", counts on ",
                   to_string(counts.device), "; all must be on one device");
  if (scores.empty()) return;
  if (scores.device.type == DeviceType::kCuda) return cuda::pixel_histogram(scores, labels, counts, stream);
  cpu::pixel_histogram(scores, labels, counts, threads);
}

}  // namespace lcx

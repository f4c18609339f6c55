#include "ops/pixel_curve/pixel_curve.hpp"

#include "core/error.hpp"

namespace lcx {
namespace {

void check(TensorView<const float, 1> scores, TensorView<const std::uint8_t, 1> labels) {
  require(scores.device.type == DeviceType::kCpu && labels.device.type == DeviceType::kCpu, ErrorCode::kUnsupported,
          "scores are on ", to_string(scores.device),
          "; float32 scores are ranked on the CPU; on a GPU count 16-bit scores with pixel_histogram");
  require_argument(scores.shape == labels.shape, "scores are ", shape_text(scores.shape), ", labels ",
                   shape_text(labels.shape), "; shapes must be equal");
  require_argument(scores.shape[0] < (std::int64_t{1} << 32), scores.shape[0],
                   " float32 scores; accepted: fewer than 2^32; 16-bit scores have no limit");
}

}  // namespace

RankAreas rank_areas(TensorView<const float, 1> scores, TensorView<const std::uint8_t, 1> labels, int threads) {
  check(scores, labels);
  return cpu::rank_areas(scores, labels, threads);
}

ScoreCounts count_scores(TensorView<const float, 1> scores, TensorView<const std::uint8_t, 1> labels, int threads) {
  check(scores, labels);
  return cpu::count_scores(scores, labels, threads);
}

RankAreas count_areas(TensorView<const std::int64_t, 1> positives, TensorView<const std::int64_t, 1> negatives) {
  require_argument(positives.shape == negatives.shape, "positives are ", shape_text(positives.shape), ", negatives ",
                   shape_text(negatives.shape), "; shapes must be equal");
  for (std::int64_t i = 0; i < positives.shape[0]; ++i) {
    require_argument(positives(i) >= 0 && negatives(i) >= 0, "score ", i, " has ", positives(i), " positives and ",
                     negatives(i), " negatives; needed: 0 or more");
  }
  return cpu::count_areas(positives, negatives);
}

}  // namespace lcx

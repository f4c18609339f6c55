#pragma once

#include <cstdint>
#include <vector>

#include "core/tensor_view.hpp"

namespace lcx {

/// Areas under the curves of a ranking; NaN where they are not defined.
struct RankAreas {
  double roc_auc = 0.0;            ///< equal scores count half; NaN without both classes
  double average_precision = 0.0;  ///< sum of (R_k - R_{k-1}) P_k over distinct scores; NaN without positives
};

/// Distinct scores, ascending, and how many of each class have them.
struct ScoreCounts {
  std::vector<float> scores;
  std::vector<std::int64_t> positives;
  std::vector<std::int64_t> negatives;
};

/// Ranks scores of two classes: exact, ties included.
///
/// scores   [N] float32 without NaN, N < 2^32; -0 equals +0
/// labels   [N] uint8, nonzero = positive
/// threads  most threads to use; 0 = all; the result does not depend on it
/// Memory: 4 bytes a score. For the CPU.
/// Throws Error(kInvalidArgument) if N differs or is too large, or for a NaN.
RankAreas rank_areas(TensorView<const float, 1> scores, TensorView<const std::uint8_t, 1> labels, int threads);

/// The distinct scores; arguments and errors as of rank_areas.
ScoreCounts count_scores(TensorView<const float, 1> scores, TensorView<const std::uint8_t, 1> labels, int threads);

/// Areas from the numbers of positives and negatives [K] at each score, ascending.
/// Throws Error(kInvalidArgument) if K differs or a number is negative.
RankAreas count_areas(TensorView<const std::int64_t, 1> positives, TensorView<const std::int64_t, 1> negatives);

namespace cpu {
RankAreas rank_areas(TensorView<const float, 1> scores, TensorView<const std::uint8_t, 1> labels, int threads);
ScoreCounts count_scores(TensorView<const float, 1> scores, TensorView<const std::uint8_t, 1> labels, int threads);
RankAreas count_areas(TensorView<const std::int64_t, 1> positives, TensorView<const std::int64_t, 1> negatives);
}  // namespace cpu

}  // namespace lcx

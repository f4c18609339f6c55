#include <algorithm>
#include <bit>
#include <vector>

#include "core/greedy_matching.hpp"
#include "ops/match_detections/match_detections.hpp"

namespace lcx::cpu {
namespace {

std::vector<std::uint8_t> dense_flags(TensorView<const std::uint8_t, 1> flags) {
  std::vector<std::uint8_t> result;
  for (std::int64_t i = 0; flags.data != nullptr && i < flags.shape[0]; ++i) result.push_back(flags(i));
  return result;
}

template <typename T>
void fill(TensorView<T, 2> table, T value) {
  std::fill_n(table.data, table.size(), value);
}

}  // namespace

template <typename T>
void match_detections(TensorView<const T, 2> iou, std::span<const double> thresholds,
                      TensorView<const std::uint8_t, 1> ignore, TensorView<const std::uint8_t, 1> crowd,
                      const MatchTables& tables) {
  fill(tables.detection_to_reference, -1);
  fill(tables.reference_to_detection, -1);
  fill(tables.detection_ignored, std::uint8_t{0});
  const std::vector<std::uint8_t> ignored = dense_flags(ignore);
  const std::vector<std::uint8_t> crowds = dense_flags(crowd);
  const auto references = static_cast<std::int32_t>(iou.shape[1]);
  std::vector<Candidate> candidates;
  for (std::size_t first = 0; first < thresholds.size(); first += kThresholdsAtOnce) {
    const auto part = thresholds.subspan(first, std::min(kThresholdsAtOnce, thresholds.size() - first));
    GreedyMatcher matcher(part);
    matcher.begin(static_cast<std::size_t>(references), ignored.empty() ? nullptr : ignored.data(),
                  crowds.empty() ? nullptr : crowds.data());
    for (std::int64_t d = 0; d < iou.shape[0]; ++d) {
      candidates.clear();
      for (std::int32_t g = 0; g < references; ++g) {
        const auto value = static_cast<double>(iou(d, g));
        if (value >= matcher.lowest_threshold()) candidates.push_back({value, g});
      }
      matcher.match(candidates, [&](std::int32_t g, std::uint64_t bits) {
        for (; bits != 0; bits &= bits - 1) {
          const auto t = static_cast<std::int64_t>(first) + std::countr_zero(bits);
          tables.detection_to_reference(t, d) = g;
          tables.reference_to_detection(t, g) = static_cast<std::int32_t>(d);
          tables.detection_ignored(t, d) = !ignored.empty() && ignored[static_cast<std::size_t>(g)] != 0 ? 1 : 0;
        }
      });
    }
  }
}

template void match_detections(TensorView<const float, 2>, std::span<const double>, TensorView<const std::uint8_t, 1>,
                               TensorView<const std::uint8_t, 1>, const MatchTables&);
template void match_detections(TensorView<const double, 2>, std::span<const double>, TensorView<const std::uint8_t, 1>,
                               TensorView<const std::uint8_t, 1>, const MatchTables&);

}  // namespace lcx::cpu

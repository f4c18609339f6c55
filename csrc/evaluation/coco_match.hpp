#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "evaluation/coco_groups.hpp"

namespace lcx {

/// At most this many thresholds are evaluated at once: each is one bit.
inline constexpr std::size_t kEvaluatedAtOnce = 32;

/// What became of each detection of CocoGroups::detections in each area range, at up to 32 thresholds.
struct CocoMatches {
  std::int64_t detections = 0;
  std::vector<std::uint32_t> hits;    ///< [A, detections] thresholds at which it counts as right
  std::vector<std::uint32_t> misses;  ///< [A, detections] ... as wrong; in neither: it does not count
  std::vector<std::int32_t> regular;  ///< [groups, A] references that count

  std::span<const std::uint32_t> hits_of(std::size_t a) const { return row(hits, a); }
  std::span<const std::uint32_t> misses_of(std::size_t a) const { return row(misses, a); }

 private:
  std::span<const std::uint32_t> row(const std::vector<std::uint32_t>& table, std::size_t a) const {
    const auto count = static_cast<std::size_t>(detections);
    return std::span<const std::uint32_t>(table).subspan(a * count, count);
  }
};

/// Matches every group; see Note [Greedy matching]. thresholds  at most 32
CocoMatches match_groups(const CocoDataset& reference, const CocoDataset& predictions, const CocoGroups& groups,
                         const CocoOptions& options, std::span<const double> thresholds, int threads);

}  // namespace lcx

#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

namespace lcx {

// Note [Greedy matching]
// COCO walks the detections by descending score, once for each threshold. A detection takes, of the references it
// overlaps by at least the threshold and that no earlier one took, a regular one before an ignored one, then the one
// with the highest overlap, then the last; a crowd may be taken any number of times. The order in which a detection
// would prefer its references does not depend on the threshold, only which of them are still free does. So the
// references are sorted once, and up to 64 thresholds walk down them together, each as one bit of a word.

/// A reference that a detection overlaps.
struct Candidate {
  double iou;
  std::int32_t reference;
};

/// At most this many thresholds are matched at once.
inline constexpr std::size_t kThresholdsAtOnce = 64;

/// COCO's tools take nothing stricter than this for a threshold, so that 1 can be reached in spite of rounding.
inline constexpr double kStrictestThreshold = 1 - 1e-10;

class GreedyMatcher {
 public:
  /// thresholds  at most 64
  explicit GreedyMatcher(std::span<const double> thresholds) : thresholds_(thresholds.begin(), thresholds.end()) {
    for (double& t : thresholds_) t = std::min(t, kStrictestThreshold);
    lowest_ = thresholds_.empty() ? 0 : *std::min_element(thresholds_.begin(), thresholds_.end());
    all_ = thresholds_.size() == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << thresholds_.size()) - 1;
  }

  /// Starts over with references that nobody has taken.
  /// ignored, crowd  one entry for each reference; may be null: none. Borrowed.
  void begin(std::size_t references, const std::uint8_t* ignored, const std::uint8_t* crowd) {
    ignored_ = ignored;
    crowd_ = crowd;
    taken_.assign(references, 0);
  }

  /// References with less overlap than this are nobody's candidates.
  double lowest_threshold() const { return lowest_; }
  std::uint64_t all_thresholds() const { return all_; }

  /// Matches the next detection. Candidates (reordered) may come in any order and leave out those below
  /// lowest_threshold(). Calls visit(reference, thresholds as bits) for each reference taken.
  template <typename Visit>
  void match(std::span<Candidate> candidates, const Visit& visit) {
    if (candidates.size() > 1) {
      std::sort(candidates.begin(), candidates.end(), [&](const Candidate& a, const Candidate& b) {
        const bool a_ignored = is_set(ignored_, a.reference);
        const bool b_ignored = is_set(ignored_, b.reference);
        if (a_ignored != b_ignored) return b_ignored;
        return a.iou != b.iou ? a.iou > b.iou : a.reference > b.reference;
      });
    }
    std::uint64_t open = all_;
    for (const Candidate& candidate : candidates) {
      std::uint64_t& taken = taken_[static_cast<std::size_t>(candidate.reference)];
      const std::uint64_t free = is_set(crowd_, candidate.reference) ? open : open & ~taken;
      const std::uint64_t hit = free & reached(candidate.iou);
      if (hit == 0) continue;
      taken |= hit;
      visit(candidate.reference, hit);
      open &= ~hit;
      if (open == 0) break;
    }
  }

 private:
  static bool is_set(const std::uint8_t* flags, std::int32_t i) { return flags != nullptr && flags[i] != 0; }

  std::uint64_t reached(double iou) const {
    std::uint64_t bits = 0;
    for (std::size_t t = 0; t < thresholds_.size(); ++t) {
      bits |= static_cast<std::uint64_t>(iou >= thresholds_[t]) << t;
    }
    return bits;
  }

  std::vector<double> thresholds_;
  const std::uint8_t* ignored_ = nullptr;
  const std::uint8_t* crowd_ = nullptr;
  std::vector<std::uint64_t> taken_;  // by reference, the thresholds at which it is
  double lowest_ = 0;
  std::uint64_t all_ = 0;
};

}  // namespace lcx

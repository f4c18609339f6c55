#include "evaluation/coco_match.hpp"

#include <algorithm>

#include "core/box.hpp"
#include "core/error.hpp"
#include "core/greedy_matching.hpp"
#include "core/parallel_for.hpp"

namespace lcx {
namespace {

constexpr std::int64_t kGroupsPerThread = 512;

double box_overlap(const CocoAnnotation& a, const CocoAnnotation& b) {
  return overlap(Box<double>::from_sides(a.box[0], a.box[1], a.box[2], a.box[3]),
                 Box<double>::from_sides(b.box[0], b.box[1], b.box[2], b.box[3]), b.crowd);
}

double mask_overlap(const CocoMask& a, const CocoMask& b, bool b_is_crowd) {
  require_argument(a.runs.height == b.runs.height && a.runs.width == b.runs.width, "a predicted mask is ",
                   a.runs.height, " x ", a.runs.width, " pixels, a reference mask of the same image ", b.runs.height,
                   " x ", b.runs.width, "; must be equal");
  const std::array<std::int64_t, 2> columns{std::max(a.box.x0, b.box.x0), std::min(a.box.x1, b.box.x1)};
  if (columns[0] >= columns[1] || std::max(a.box.y0, b.box.y0) >= std::min(a.box.y1, b.box.y1)) return 0;
  const std::int64_t both = intersection_area(a.runs, b.runs, columns);
  if (both == 0) return 0;
  return static_cast<double>(both) / static_cast<double>(b_is_crowd ? a.area : a.area + b.area - both);
}

bool outside(double area, const std::array<double, 2>& range) { return area < range[0] || area > range[1]; }

// Matches groups one after another, with memory that is used again.
class GroupMatcher {
 public:
  GroupMatcher(const CocoDataset& reference, const CocoDataset& predictions, const CocoGroups& groups,
               const CocoOptions& options, std::span<const double> thresholds, CocoMatches& matches)
      : reference_(reference),
        predictions_(predictions),
        groups_(groups),
        options_(options),
        matches_(matches),
        matcher_(thresholds) {}

  void match(std::size_t index) {
    const CocoGroup& group = groups_.groups[index];
    find_candidates(group);
    const std::size_t areas = options_.area_ranges.size();
    for (std::size_t a = 0; a < areas; ++a) {
      ignored_.clear();
      std::int32_t regular = 0;
      for (const std::int32_t g : references_of(group)) {
        const CocoAnnotation& annotation = reference_.annotations[static_cast<std::size_t>(g)];
        ignored_.push_back(annotation.crowd || outside(annotation.area, options_.area_ranges[a]) ? 1 : 0);
        regular += ignored_.back() == 0 ? 1 : 0;
      }
      matches_.regular[index * areas + a] = regular;
      match_in_area(group, a);
    }
  }

 private:
  std::span<const std::int32_t> references_of(const CocoGroup& group) const {
    return std::span<const std::int32_t>(groups_.references)
        .subspan(static_cast<std::size_t>(group.reference_begin),
                 static_cast<std::size_t>(group.reference_end - group.reference_begin));
  }

  double overlap_of(std::size_t d, std::size_t g) const {
    const CocoAnnotation& truth = reference_.annotations[g];
    if (options_.target == CocoTarget::kBoxes) return box_overlap(predictions_.annotations[d], truth);
    return mask_overlap(predictions_.masks[d], reference_.masks[g], truth.crowd);
  }

  // candidates_: what each detection overlaps enough; candidate_ends_: where each detection's end.
  void find_candidates(const CocoGroup& group) {
    candidates_.clear();
    candidate_ends_.clear();
    crowd_.clear();
    const auto references = references_of(group);
    for (const std::int32_t g : references) {
      crowd_.push_back(reference_.annotations[static_cast<std::size_t>(g)].crowd ? 1 : 0);
    }
    for (std::int32_t i = group.detection_begin; i < group.detection_end; ++i) {
      const auto d = static_cast<std::size_t>(groups_.detections[static_cast<std::size_t>(i)]);
      for (std::size_t k = 0; k < references.size(); ++k) {
        const double iou = overlap_of(d, static_cast<std::size_t>(references[k]));
        if (iou >= matcher_.lowest_threshold()) candidates_.push_back({iou, static_cast<std::int32_t>(k)});
      }
      candidate_ends_.push_back(candidates_.size());
    }
  }

  void match_in_area(const CocoGroup& group, std::size_t a) {
    matcher_.begin(ignored_.size(), ignored_.data(), crowd_.data());
    const auto all = static_cast<std::uint32_t>(matcher_.all_thresholds());
    std::size_t first = 0;
    for (std::int32_t i = group.detection_begin; i < group.detection_end; ++i) {
      const std::size_t last = candidate_ends_[static_cast<std::size_t>(i - group.detection_begin)];
      std::uint32_t hits = 0;
      std::uint32_t matched = 0;
      if (last > first) {
        chosen_.assign(candidates_.begin() + static_cast<std::ptrdiff_t>(first),
                       candidates_.begin() + static_cast<std::ptrdiff_t>(last));
        matcher_.match(chosen_, [&](std::int32_t k, std::uint64_t bits) {
          matched |= static_cast<std::uint32_t>(bits);
          if (ignored_[static_cast<std::size_t>(k)] == 0) hits |= static_cast<std::uint32_t>(bits);
        });
      }
      first = last;
      const auto d = static_cast<std::size_t>(groups_.detections[static_cast<std::size_t>(i)]);
      const bool counts = !outside(predictions_.annotations[d].area, options_.area_ranges[a]);
      const std::size_t at = a * static_cast<std::size_t>(matches_.detections) + static_cast<std::size_t>(i);
      matches_.hits[at] = hits;
      matches_.misses[at] = counts ? all & ~matched : 0;
    }
  }

  const CocoDataset& reference_;
  const CocoDataset& predictions_;
  const CocoGroups& groups_;
  const CocoOptions& options_;
  CocoMatches& matches_;
  GreedyMatcher matcher_;
  std::vector<Candidate> candidates_, chosen_;
  std::vector<std::size_t> candidate_ends_;
  std::vector<std::uint8_t> crowd_, ignored_;
};

}  // namespace

CocoMatches match_groups(const CocoDataset& reference, const CocoDataset& predictions, const CocoGroups& groups,
                         const CocoOptions& options, std::span<const double> thresholds, int threads) {
  const std::size_t areas = options.area_ranges.size();
  CocoMatches matches;
  matches.detections = static_cast<std::int64_t>(groups.detections.size());
  matches.hits.resize(areas * groups.detections.size());
  matches.misses.resize(areas * groups.detections.size());
  matches.regular.resize(areas * groups.groups.size());
  const auto count = static_cast<std::int64_t>(groups.groups.size());
  parallel_for(count, kGroupsPerThread, threads, [&](std::int64_t begin, std::int64_t end) {
    GroupMatcher matcher(reference, predictions, groups, options, thresholds, matches);
    for (std::int64_t i = begin; i < end; ++i) matcher.match(static_cast<std::size_t>(i));
  });
  return matches;
}

}  // namespace lcx

// Note [Precision at recall]
// Detections go by descending score; after each, recall is hits / references and precision hits / (hits + misses). The
// highest precision from some recall on is found at a hit, as is the first place where a recall is reached. So per
// threshold only the hits are kept, and the misses before each are counted. Most detections miss at every threshold (or
// count at none), which takes one addition for all thresholds.

#include "evaluation/coco_evaluate.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>

#include "core/error.hpp"
#include "core/parallel_for.hpp"
#include "evaluation/coco_groups.hpp"
#include "evaluation/coco_match.hpp"

namespace lcx {
namespace {

// The detections of one category by descending score, over all images.
struct Ranking {
  std::vector<std::int32_t> order;  // of CocoGroups::detections
  std::vector<std::int32_t> ranks;  // each one's place within its group
  std::vector<double> scores;
};

Ranking rank_detections(const CocoGroups& groups, std::size_t first, std::size_t last) {
  struct Ranked {
    double score;
    std::int32_t detection, rank;
  };
  std::vector<Ranked> list;
  for (std::size_t i = first; i < last; ++i) {
    const CocoGroup& group = groups.groups[i];
    for (std::int32_t d = group.detection_begin; d < group.detection_end; ++d) {
      list.push_back({groups.scores[static_cast<std::size_t>(d)], d, d - group.detection_begin});
    }
  }
  // Detections are numbered in the order in which ties are kept.
  std::sort(list.begin(), list.end(), [](const Ranked& a, const Ranked& b) {
    return a.score != b.score ? a.score > b.score : a.detection < b.detection;
  });
  Ranking ranking;
  ranking.order.reserve(list.size());
  ranking.ranks.reserve(list.size());
  ranking.scores.reserve(list.size());
  for (const Ranked& item : list) {
    ranking.order.push_back(item.detection);
    ranking.ranks.push_back(item.rank);
    ranking.scores.push_back(item.score);
  }
  return ranking;
}

// Least number of hits whose share of `total` is at least `recall`, by the comparison of doubles that counts.
std::int64_t hits_needed(double recall, std::int64_t total) {
  const auto n = static_cast<double>(total);
  auto hits = static_cast<std::int64_t>(std::clamp(std::ceil(recall * n), 0.0, n + 1));
  while (hits > 0 && static_cast<double>(hits - 1) / n >= recall) --hits;
  while (hits <= total && static_cast<double>(hits) / n < recall) ++hits;
  return hits;
}

// The hits at one threshold, in order.
struct Hits {
  std::vector<double> precision;
  std::vector<double> score;

  void clear() {
    precision.clear();
    score.clear();
  }
};

class Curves {
 public:
  Curves(const CocoOptions& options, const CocoTables& tables) : options_(options), tables_(tables) {}

  /// Fills the tables for thresholds first_threshold .. + count, category k and area range a.
  void fill(const Ranking& ranking, std::span<const std::uint32_t> hits, std::span<const std::uint32_t> misses,
            std::int64_t references, std::size_t first_threshold, std::size_t count, std::size_t k, std::size_t a) {
    needed_.clear();
    for (const double recall : options_.recall_thresholds) needed_.push_back(hits_needed(recall, references));
    hits_.resize(count);
    for (std::size_t m = 0; m < options_.max_detections.size(); ++m) {
      const bool any = walk(ranking, hits, misses, options_.max_detections[m], count);
      for (std::size_t t = 0; t < count; ++t) {
        write(hits_[t], any, references, {first_threshold + t, k, a, m});
      }
    }
  }

 private:
  // Collects the hits of those among the `most` best of their image. False if there is no detection.
  bool walk(const Ranking& ranking, std::span<const std::uint32_t> hits, std::span<const std::uint32_t> misses,
            std::int64_t most, std::size_t count) {
    const std::uint32_t all = count == 32 ? ~std::uint32_t{0} : (std::uint32_t{1} << count) - 1;
    for (Hits& h : hits_) h.clear();
    std::array<std::int64_t, kEvaluatedAtOnce> own_misses{};
    std::int64_t common_misses = 0;
    bool any = false;
    for (std::size_t i = 0; i < ranking.order.size(); ++i) {
      if (ranking.ranks[i] >= most) continue;
      if (!any) first_score_ = ranking.scores[i];
      any = true;
      const auto d = static_cast<std::size_t>(ranking.order[i]);
      std::uint32_t missed = misses[d];
      if (missed == all) {
        ++common_misses;
        continue;
      }
      for (; missed != 0; missed &= missed - 1) ++own_misses[static_cast<std::size_t>(std::countr_zero(missed))];
      for (std::uint32_t hit = hits[d]; hit != 0; hit &= hit - 1) {
        const auto t = static_cast<std::size_t>(std::countr_zero(hit));
        const auto right = static_cast<double>(hits_[t].precision.size() + 1);
        const auto wrong = static_cast<double>(common_misses + own_misses[t]);
        // The epsilon is pycocotools' guard against 0 / 0; it turns 1 / 1 into a little less than 1.
        hits_[t].precision.push_back(right / (wrong + right + std::numeric_limits<double>::epsilon()));
        hits_[t].score.push_back(ranking.scores[i]);
      }
    }
    return any;
  }

  struct Place {
    std::size_t t, k, a, m;
  };

  void write(Hits& hits, bool any, std::int64_t references, const Place& at) {
    auto& precision = hits.precision;
    for (std::size_t i = precision.size(); i-- > 1;) precision[i - 1] = std::max(precision[i - 1], precision[i]);
    const auto [t, k, a, m] = std::array{static_cast<std::int64_t>(at.t), static_cast<std::int64_t>(at.k),
                                         static_cast<std::int64_t>(at.a), static_cast<std::int64_t>(at.m)};
    tables_.recall(t, k, a, m) = static_cast<double>(precision.size()) / static_cast<double>(references);
    bool reached = any;
    for (std::size_t r = 0; r < needed_.size(); ++r) {
      const auto needed = static_cast<std::size_t>(needed_[r]);
      // Once a recall is out of reach, pycocotools looks at no further one, whatever their order.
      reached = reached && needed <= precision.size();
      double value = 0;
      double score = 0;
      if (reached && needed == 0) {  // a recall of 0 is reached by the first detection, right or wrong
        value = precision.empty() ? 0 : precision.front();
        score = first_score_;
      } else if (reached) {
        value = precision[needed - 1];
        score = hits.score[needed - 1];
      }
      tables_.precision(t, static_cast<std::int64_t>(r), k, a, m) = value;
      tables_.scores(t, static_cast<std::int64_t>(r), k, a, m) = score;
    }
  }

  const CocoOptions& options_;
  const CocoTables& tables_;
  std::vector<std::int64_t> needed_;
  std::vector<Hits> hits_;
  double first_score_ = 0;
};

template <std::size_t Rank>
void check_table(const TensorView<double, Rank>& table, const std::array<std::int64_t, Rank>& shape, const char* name) {
  const TensorView<double, Rank> dense(table.data, shape);
  require_argument(table.shape == shape && table.strides == dense.strides, name, " is ", shape_text(table.shape),
                   "; must be dense ", shape_text(shape));
  std::fill_n(table.data, table.size(), -1.0);
}

void check(const CocoDataset& reference, const CocoDataset& predictions, const CocoOptions& options) {
  for (const double t : options.iou_thresholds) {
    require_argument(std::isfinite(t), "an IoU threshold is ", t, "; must be finite");
  }
  for (const double r : options.recall_thresholds) {
    require_argument(std::isfinite(r), "a recall threshold is ", r, "; must be finite");
  }
  require_argument(std::is_sorted(options.max_detections.begin(), options.max_detections.end()) &&
                       (options.max_detections.empty() ||
                        (options.max_detections.front() >= 1 && options.max_detections.back() < (1LL << 31))),
                   "max_detections must ascend, within 1 and 2^31 - 1");
  const auto ascends = [](const std::vector<std::int64_t>& ids) {
    return std::adjacent_find(ids.begin(), ids.end(), std::greater_equal<>()) == ids.end();
  };
  require_argument(ascends(options.image_ids) && ascends(options.category_ids), "ids must ascend without repetition");
  if (options.target == CocoTarget::kBoxes) return;
  for (const CocoDataset* dataset : {&reference, &predictions}) {
    require_argument(dataset->masks.size() == dataset->annotations.size(), dataset->name, " was read without masks");
  }
}

}  // namespace

void coco_evaluate(const CocoDataset& reference, const CocoDataset& predictions, const CocoOptions& options,
                   const CocoTables& tables, int threads) {
  check(reference, predictions, options);
  const auto thresholds = static_cast<std::int64_t>(options.iou_thresholds.size());
  const auto recalls = static_cast<std::int64_t>(options.recall_thresholds.size());
  const std::size_t categories = options.use_categories ? options.category_ids.size() : 1;
  const std::size_t areas = options.area_ranges.size();
  const auto k_count = static_cast<std::int64_t>(categories);
  const auto a_count = static_cast<std::int64_t>(areas);
  const auto limits = static_cast<std::int64_t>(options.max_detections.size());
  check_table<5>(tables.precision, {thresholds, recalls, k_count, a_count, limits}, "precision");
  check_table<4>(tables.recall, {thresholds, k_count, a_count, limits}, "recall");
  check_table<5>(tables.scores, {thresholds, recalls, k_count, a_count, limits}, "scores");

  const CocoGroups groups = group_annotations(reference, predictions, options);
  // Where each category's groups begin.
  std::vector<std::size_t> starts(categories + 1, 0);
  for (const CocoGroup& group : groups.groups) ++starts[static_cast<std::size_t>(group.category) + 1];
  std::partial_sum(starts.begin(), starts.end(), starts.begin());
  std::vector<Ranking> rankings(categories);
  parallel_for(k_count, 1, threads, [&](std::int64_t begin, std::int64_t end) {
    for (auto k = static_cast<std::size_t>(begin); k < static_cast<std::size_t>(end); ++k) {
      rankings[k] = rank_detections(groups, starts[k], starts[k + 1]);
    }
  });
  for (std::size_t first = 0; first < options.iou_thresholds.size(); first += kEvaluatedAtOnce) {
    const std::size_t count = std::min(kEvaluatedAtOnce, options.iou_thresholds.size() - first);
    const auto part = std::span<const double>(options.iou_thresholds).subspan(first, count);
    const CocoMatches matches = match_groups(reference, predictions, groups, options, part, threads);
    parallel_for(k_count * a_count, 1, threads, [&](std::int64_t begin, std::int64_t end) {
      Curves curves(options, tables);
      for (auto i = static_cast<std::size_t>(begin); i < static_cast<std::size_t>(end); ++i) {
        const std::size_t k = i / areas;
        const std::size_t a = i % areas;
        std::int64_t regular = 0;
        for (std::size_t g = starts[k]; g < starts[k + 1]; ++g) regular += matches.regular[g * areas + a];
        if (regular == 0) continue;  // -1 stays
        curves.fill(rankings[k], matches.hits_of(a), matches.misses_of(a), regular, first, count, k, a);
      }
    });
  }
}

}  // namespace lcx

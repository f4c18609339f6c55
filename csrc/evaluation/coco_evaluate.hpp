#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "core/tensor_view.hpp"
#include "evaluation/coco_dataset.hpp"
#include "evaluation/coco_json.hpp"

namespace lcx {

struct CocoOptions {
  CocoTarget target = CocoTarget::kBoxes;
  std::vector<double> iou_thresholds;              ///< T
  std::vector<double> recall_thresholds;           ///< R
  std::vector<std::array<double, 2>> area_ranges;  ///< A, both ends included
  std::vector<std::int64_t> max_detections;        ///< M, ascending
  bool use_categories = true;                      ///< false: all categories count as one
  std::vector<std::int64_t> image_ids;             ///< ascending: the images that count
  std::vector<std::int64_t> category_ids;          ///< ascending: the categories that count; K, or 1 if not used
};

/// Where the result goes, as in pycocotools; -1 where a category has no reference in an area range.
struct CocoTables {
  TensorView<double, 5> precision;  ///< [T, R, K, A, M] dense: highest precision at a recall of at least R
  TensorView<double, 4> recall;     ///< [T, K, A, M] dense: highest recall reached
  TensorView<double, 5> scores;     ///< [T, R, K, A, M] dense: the score at which R is reached
};

/// Evaluates predictions against references, to the bit as pycocotools does, but for references whose annotation id is
/// 0, which it takes for unmatched, and for tables of more than 2^31 entries.
///
/// For masks, both datasets were read with CocoTarget::kMasks. threads  0 = all
/// Throws Error(kInvalidArgument) if tables do not fit, a pair of masks differs in shape, or masks are missing.
void coco_evaluate(const CocoDataset& reference, const CocoDataset& predictions, const CocoOptions& options,
                   const CocoTables& tables, int threads);

}  // namespace lcx

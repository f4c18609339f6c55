#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "evaluation/coco_evaluate.hpp"

namespace lcx {

/// The references and predictions of one category in one image: ranges of CocoGroups' lists.
struct CocoGroup {
  std::int32_t category = 0;  ///< index
  std::int32_t reference_begin = 0, reference_end = 0;
  std::int32_t detection_begin = 0, detection_end = 0;
};

/// Annotations brought together by category, then image, as far as options want them.
///
/// Within a group, references are in the order of the file, and predictions by descending score (equal ones in the
/// order of the file), at most as many as the largest of max_detections.
struct CocoGroups {
  std::vector<CocoGroup> groups;
  std::vector<std::int32_t> references;  ///< annotations, group after group
  std::vector<std::int32_t> detections;
  std::vector<double> scores;  ///< of the detections
};

CocoGroups group_annotations(const CocoDataset& reference, const CocoDataset& predictions, const CocoOptions& options);

}  // namespace lcx

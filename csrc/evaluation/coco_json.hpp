#pragma once

#include <string>

#include "evaluation/coco_dataset.hpp"

namespace lcx {

/// What an evaluation looks at.
enum class CocoTarget : std::uint8_t { kBoxes, kMasks };

/// Reads a COCO annotation file: an object with `images`, `annotations` and `categories`; see Note [JSON].
///
/// Of an image `id`, `height` and `width` are used, of a category `id` and `name`, of an annotation `image_id`,
/// `category_id`, `bbox`, `area`, `iscrowd` and, for masks, `segmentation`; anything else is skipped. `ignore` is
/// skipped too, as pycocotools overwrites it with `iscrowd`. Annotation ids are not needed.
/// Throws Error(kInvalidArgument) "PATH: byte N: expected ..." for what is no such file.
CocoDataset read_coco_reference(const std::string& path, CocoTarget target, int threads);

/// Reads a COCO result file: an array of `image_id`, `category_id`, `score` and `bbox` or `segmentation`, of images of
/// `reference`. Throws likewise.
CocoDataset read_coco_predictions(const std::string& path, const CocoDataset& reference, CocoTarget target,
                                  int threads);

}  // namespace lcx

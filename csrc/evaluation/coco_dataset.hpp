#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/column_runs.hpp"

namespace lcx {

struct CocoImage {
  std::int64_t id = 0;
  std::int64_t height = -1;  ///< -1 = not said
  std::int64_t width = -1;
};

struct CocoCategory {
  std::int64_t id = 0;
  std::string name;
};

/// How an annotation's mask was given.
enum class MaskForm : std::uint8_t { kNone, kPolygons, kBox, kCounts, kString };

/// A mask as it was given, before it is drawn: a part of one of CocoDataset's stores.
struct MaskSource {
  MaskForm form = MaskForm::kNone;
  std::size_t begin = 0, end = 0;        ///< kPolygons: of `polygon_ends`; kBox: of `numbers`; kCounts: of `counts`
  std::string_view text;                 ///< kString
  std::int64_t height = -1, width = -1;  ///< of run lengths
};

/// One reference or one prediction.
struct CocoAnnotation {
  std::int64_t image_id = 0;
  std::int64_t category_id = 0;
  double score = 0;
  double area = 0;
  std::array<double, 4> box{};  ///< x, y, width, height
  bool has_score = false;
  bool has_area = false;
  bool has_box = false;
  bool crowd = false;
};

/// A drawn mask with what is asked of it again and again.
struct CocoMask {
  ColumnRunsView runs;
  PixelBox box;
  std::int64_t area = 0;
};

/// COCO annotations in memory: references (with images and categories) or predictions.
///
/// A loader fills the public members, then calls finish_reference or finish_predictions once, which checks them and
/// derives what was left out. Afterwards the dataset is only read, from as many threads as wanted.
struct CocoDataset {
  std::string name;  ///< for messages: the file's, or what the caller calls it
  std::vector<CocoImage> images;
  std::vector<CocoCategory> categories;
  std::vector<CocoAnnotation> annotations;
  std::vector<CocoMask> masks;  ///< one per annotation, or none if masks were not asked for

  // Masks as given, until they are drawn.
  std::vector<MaskSource> sources;        // one per annotation, or none
  std::vector<double> numbers;            // of polygons and boxes
  std::vector<std::size_t> polygon_ends;  // in `numbers`; a polygon begins where the one before it ends
  std::vector<std::uint32_t> counts;
  std::deque<std::string> texts;  // what `MaskSource::text` points into

  /// Sorts images and categories by id and, where sources were kept, draws the masks.
  /// A reference without area gets its mask's or else its box's; without a box, its mask's.
  /// Throws Error(kInvalidArgument) for an id that occurs twice or a mask that cannot be drawn.
  void finish_reference(int threads);

  /// The same for predictions on the images of `reference`. As in pycocotools, the first prediction decides: if it has
  /// a box, areas are the boxes' areas, else the masks'; and a prediction without a mask has its box for one.
  /// Throws Error(kInvalidArgument) also for an unknown image and for a prediction without score, box or mask.
  void finish_predictions(const CocoDataset& reference, int threads);

  CocoDataset() = default;
  CocoDataset(CocoDataset&&) = default;
  CocoDataset& operator=(CocoDataset&&) = default;

 private:
  void draw_masks(std::span<const CocoImage> sorted_images, int threads);
  void draw(std::size_t i, std::span<const CocoImage> sorted_images, std::vector<std::uint32_t>& edges,
            std::array<std::int64_t, 2>& shape) const;
  void take_from_masks();

  std::vector<std::vector<std::uint32_t>> edges_;  // what `masks` points into
};

/// Collects the polygons of one segmentation, whose numbers go to `dataset.numbers`.
class PolygonCollector {
 public:
  explicit PolygonCollector(CocoDataset& dataset)
      : dataset_(dataset), begin_(dataset.polygon_ends.size()), first_(dataset.numbers.size()) {}

  /// Call once the numbers of a polygon have been added. Returns what was expected instead, or null.
  const char* end_polygon();
  bool empty() const { return dataset_.polygon_ends.size() == begin_; }
  MaskSource source() const { return {MaskForm::kPolygons, begin_, dataset_.polygon_ends.size(), {}, -1, -1}; }

 private:
  CocoDataset& dataset_;
  std::size_t begin_;  // of the segmentation, in polygon_ends
  std::size_t first_;  // of the polygon, in numbers
};

/// The image with this id, among images sorted by id; null if there is none.
const CocoImage* find_image(std::span<const CocoImage> sorted_images, std::int64_t id);

}  // namespace lcx

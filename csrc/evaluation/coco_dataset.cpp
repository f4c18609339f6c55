#include "evaluation/coco_dataset.hpp"

#include <algorithm>
#include <cmath>

#include "core/error.hpp"
#include "core/parallel_for.hpp"

namespace lcx {
namespace {

constexpr std::int64_t kMasksPerThread = 256;

template <typename Item>
void sort_by_id(std::vector<Item>& items, const std::string& name, const char* kind) {
  const auto by_id = [](const Item& a, const Item& b) { return a.id < b.id; };
  if (!std::is_sorted(items.begin(), items.end(), by_id)) std::stable_sort(items.begin(), items.end(), by_id);
  for (std::size_t i = 1; i < items.size(); ++i) {
    require_argument(items[i - 1].id != items[i].id, name, ": ", kind, " id ", items[i].id, " occurs twice");
  }
}

}  // namespace

const char* PolygonCollector::end_polygon() {
  const std::size_t count = dataset_.numbers.size() - first_;
  if (count < 4 || count % 2 != 0) return "a polygon, x and y of at least two points, before here";
  first_ = dataset_.numbers.size();
  dataset_.polygon_ends.push_back(first_);
  return nullptr;
}

const CocoImage* find_image(std::span<const CocoImage> sorted_images, std::int64_t id) {
  const auto found = std::lower_bound(sorted_images.begin(), sorted_images.end(), id,
                                      [](const CocoImage& image, std::int64_t wanted) { return image.id < wanted; });
  return found != sorted_images.end() && found->id == id ? &*found : nullptr;
}

void CocoDataset::draw(std::size_t i, std::span<const CocoImage> sorted_images, std::vector<std::uint32_t>& edges,
                       std::array<std::int64_t, 2>& shape) const {
  const MaskSource& source = sources[i];
  shape = {source.height, source.width};
  if (source.form == MaskForm::kString) return append_string(source.text, shape[0], shape[1], edges);
  if (source.form == MaskForm::kCounts) {
    const std::span<const std::uint32_t> all(counts);
    return append_counts(all.subspan(source.begin, source.end - source.begin), shape[0], shape[1], edges);
  }
  const CocoImage* image = find_image(sorted_images, annotations[i].image_id);
  require_argument(image != nullptr, "image ", annotations[i].image_id, " is not among the images");
  require_argument(image->height >= 0 && image->width >= 0, "image ", image->id,
                   " has no height and width, which drawing polygons needs");
  shape = {image->height, image->width};
  if (source.form == MaskForm::kBox) {
    const double x0 = numbers[source.begin], y0 = numbers[source.begin + 1];
    const double x1 = x0 + numbers[source.begin + 2], y1 = y0 + numbers[source.begin + 3];
    return append_polygon(std::array{x0, y0, x0, y1, x1, y1, x1, y0}, shape[0], shape[1], edges);
  }
  std::vector<ColumnRuns> parts;
  for (std::size_t k = source.begin; k < source.end; ++k) {
    const std::size_t first = k == 0 ? 0 : polygon_ends[k - 1];
    parts.push_back({shape[0], shape[1], {}});
    append_polygon(std::span<const double>(numbers).subspan(first, polygon_ends[k] - first), shape[0], shape[1],
                   parts.back().edges);
  }
  if (parts.size() == 1) {
    edges.insert(edges.end(), parts[0].edges.begin(), parts[0].edges.end());
  } else if (!parts.empty()) {
    const std::vector<ColumnRunsView> views(parts.begin(), parts.end());
    const ColumnRuns merged = merge(views, MergeMode::kUnion);
    edges.insert(edges.end(), merged.edges.begin(), merged.edges.end());
  }
}

void CocoDataset::draw_masks(std::span<const CocoImage> sorted_images, int threads) {
  masks.resize(sources.size());
  // Each stretch of annotations has a store of its own; views are made once it has stopped growing.
  const auto count = static_cast<std::int64_t>(sources.size());
  const std::int64_t stretches = (count + kMasksPerThread - 1) / kMasksPerThread;
  edges_.resize(static_cast<std::size_t>(stretches));
  parallel_for(stretches, 1, threads, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t s = begin; s < end; ++s) {
      const auto first = static_cast<std::size_t>(s * kMasksPerThread);
      const auto last = static_cast<std::size_t>(std::min((s + 1) * kMasksPerThread, count));
      std::vector<std::uint32_t>& edges = edges_[static_cast<std::size_t>(s)];
      std::vector<std::size_t> ends;
      for (std::size_t i = first; i < last; ++i) {
        std::array<std::int64_t, 2> shape{};
        try {
          draw(i, sorted_images, edges, shape);
        } catch (const Error& error) {
          throw Error(error.code(), name + ": annotation " + std::to_string(i) + ": " + error.what());
        }
        masks[i].runs.height = shape[0];
        masks[i].runs.width = shape[1];
        ends.push_back(edges.size());
      }
      std::size_t at = 0;
      for (std::size_t i = first; i < last; ++i) {
        masks[i].runs.edges = std::span<const std::uint32_t>(edges).subspan(at, ends[i - first] - at);
        masks[i].box = bounding_box(masks[i].runs);
        masks[i].area = lcx::area(masks[i].runs);
        at = ends[i - first];
      }
    }
  });
  sources = {};
  numbers = {};
  polygon_ends = {};
  counts = {};
  texts = {};
}

void CocoDataset::take_from_masks() {
  for (std::size_t i = 0; i < masks.size(); ++i) {
    CocoAnnotation& annotation = annotations[i];
    const PixelBox& box = masks[i].box;
    if (!annotation.has_box) {
      annotation.box = {static_cast<double>(box.x0), static_cast<double>(box.y0), static_cast<double>(box.x1 - box.x0),
                        static_cast<double>(box.y1 - box.y0)};
      annotation.has_box = true;
    }
    if (!annotation.has_area) {
      annotation.area = static_cast<double>(masks[i].area);
      annotation.has_area = true;
    }
  }
}

void CocoDataset::finish_reference(int threads) {
  sort_by_id(images, name, "image");
  sort_by_id(categories, name, "category");
  const bool with_masks = !sources.empty();
  for (std::size_t i = 0; i < annotations.size(); ++i) {
    CocoAnnotation& annotation = annotations[i];
    const bool has_mask = with_masks && sources[i].form != MaskForm::kNone;
    require_argument(has_mask || (!with_masks && annotation.has_box), name, ": annotation ", i, " has no ",
                     with_masks ? "segmentation" : "bbox");
    if (!with_masks && !annotation.has_area) {
      annotation.area = annotation.box[2] * annotation.box[3];
      annotation.has_area = true;
    }
  }
  if (with_masks) draw_masks(images, threads);
  take_from_masks();
}

void CocoDataset::finish_predictions(const CocoDataset& reference, int threads) {
  const bool boxes_decide = !annotations.empty() && annotations.front().has_box;
  const bool with_masks = !sources.empty();
  std::int64_t last_image = -1;
  for (std::size_t i = 0; i < annotations.size(); ++i) {
    CocoAnnotation& annotation = annotations[i];
    require_argument(annotation.has_score, name, ": prediction ", i, " has no score");
    require_argument((i > 0 && annotation.image_id == last_image) || find_image(reference.images, annotation.image_id),
                     name, ": prediction ", i, " is of image ", annotation.image_id, ", which ", reference.name,
                     " does not have");
    last_image = annotation.image_id;
    const bool has_mask = with_masks && sources[i].form != MaskForm::kNone;
    require_argument(boxes_decide ? annotation.has_box : has_mask, name, ": prediction ", i, " has no ",
                     boxes_decide ? "bbox" : "segmentation", ", but the first one has");
    annotation.has_area = boxes_decide;
    annotation.area = boxes_decide ? annotation.box[2] * annotation.box[3] : 0;
    if (with_masks && !has_mask) {
      sources[i] = {MaskForm::kBox, numbers.size(), numbers.size() + 4, {}, -1, -1};
      numbers.insert(numbers.end(), annotation.box.begin(), annotation.box.end());
    }
  }
  if (with_masks) draw_masks(reference.images, threads);
  take_from_masks();
}

}  // namespace lcx

#include "evaluation/coco_groups.hpp"

#include <algorithm>

#include "core/error.hpp"

namespace lcx {
namespace {

// From ids to their places in an ascending list: by a table where the ids lie close together, else by searching, which
// annotations in the order of their images hardly ever need.
class IdIndex {
 public:
  explicit IdIndex(std::span<const std::int64_t> ids) : ids_(ids) {
    if (ids.empty()) return;
    const std::uint64_t range = static_cast<std::uint64_t>(ids.back()) - static_cast<std::uint64_t>(ids.front());
    if (range >= 8 * ids.size() + 1024) return;
    table_.assign(static_cast<std::size_t>(range) + 1, -1);
    for (std::size_t i = 0; i < ids.size(); ++i) {
      table_[static_cast<std::size_t>(ids[i] - ids.front())] = static_cast<std::int32_t>(i);
    }
  }

  /// -1 if the id is not in the list.
  std::int32_t find(std::int64_t id) {
    if (!table_.empty()) {
      const std::uint64_t offset = static_cast<std::uint64_t>(id) - static_cast<std::uint64_t>(ids_.front());
      return offset < table_.size() ? table_[static_cast<std::size_t>(offset)] : -1;
    }
    if (id == last_id_ && last_ >= 0) return last_;
    const auto found = std::lower_bound(ids_.begin(), ids_.end(), id);
    if (found == ids_.end() || *found != id) return -1;
    last_id_ = id;
    last_ = static_cast<std::int32_t>(found - ids_.begin());
    return last_;
  }

 private:
  std::span<const std::int64_t> ids_;
  std::vector<std::int32_t> table_;
  std::int64_t last_id_ = 0;
  std::int32_t last_ = -1;
};

struct Entry {
  std::int32_t category, image, annotation;
  double score;
};

// Stable counting sort by one member.
void sort_by(std::vector<Entry>& entries, std::int32_t Entry::* key, std::size_t count) {
  std::vector<std::size_t> starts(count + 1, 0);
  for (const Entry& entry : entries) ++starts[static_cast<std::size_t>(entry.*key) + 1];
  for (std::size_t i = 1; i <= count; ++i) starts[i] += starts[i - 1];
  std::vector<Entry> sorted(entries.size());
  for (const Entry& entry : entries) sorted[starts[static_cast<std::size_t>(entry.*key)]++] = entry;
  entries.swap(sorted);
}

// The annotations that count, by category, image and place in the file; without categories, by image, category (which
// is where pycocotools puts them), place, and all with category 0.
std::vector<Entry> sorted_entries(const CocoDataset& dataset, const CocoOptions& options) {
  require_argument(dataset.annotations.size() < (1ULL << 31), dataset.name, " has ", dataset.annotations.size(),
                   " annotations; at most 2^31 - 1");
  IdIndex images(options.image_ids);
  IdIndex categories(options.category_ids);
  std::vector<Entry> entries;
  entries.reserve(dataset.annotations.size());
  for (std::size_t i = 0; i < dataset.annotations.size(); ++i) {
    const Entry entry{categories.find(dataset.annotations[i].category_id), images.find(dataset.annotations[i].image_id),
                      static_cast<std::int32_t>(i), dataset.annotations[i].score};
    if (entry.category >= 0 && entry.image >= 0) entries.push_back(entry);
  }
  if (!options.use_categories) sort_by(entries, &Entry::category, options.category_ids.size());
  sort_by(entries, &Entry::image, options.image_ids.size());
  if (options.use_categories) {
    sort_by(entries, &Entry::category, options.category_ids.size());
  } else {
    for (Entry& entry : entries) entry.category = 0;
  }
  return entries;
}

}  // namespace

CocoGroups group_annotations(const CocoDataset& reference, const CocoDataset& predictions, const CocoOptions& options) {
  const std::vector<Entry> references = sorted_entries(reference, options);
  std::vector<Entry> detections = sorted_entries(predictions, options);
  const auto most = static_cast<std::ptrdiff_t>(options.max_detections.empty() ? 0 : options.max_detections.back());
  CocoGroups result;
  result.references.reserve(references.size());
  result.detections.reserve(detections.size());
  result.scores.reserve(detections.size());
  std::size_t g = 0;
  std::size_t d = 0;
  const auto before = [](const Entry& a, const Entry& b) {
    return a.category != b.category ? a.category < b.category : a.image < b.image;
  };
  while (g < references.size() || d < detections.size()) {
    const bool from_references =
        d == detections.size() || (g < references.size() && !before(detections[d], references[g]));
    const Entry at = from_references ? references[g] : detections[d];
    const auto same = [&](const Entry& e) { return e.category == at.category && e.image == at.image; };
    CocoGroup group;
    group.category = at.category;
    group.reference_begin = static_cast<std::int32_t>(result.references.size());
    for (; g < references.size() && same(references[g]); ++g) result.references.push_back(references[g].annotation);
    group.reference_end = static_cast<std::int32_t>(result.references.size());
    group.detection_begin = static_cast<std::int32_t>(result.detections.size());
    const auto first = detections.begin() + static_cast<std::ptrdiff_t>(d);
    auto last = first;
    while (last != detections.end() && same(*last)) ++last;
    d += static_cast<std::size_t>(last - first);
    const auto higher = [](const Entry& a, const Entry& b) { return a.score > b.score; };
    if (!std::is_sorted(first, last, higher)) std::stable_sort(first, last, higher);
    last = first + std::min(last - first, most);
    for (auto entry = first; entry != last; ++entry) {
      result.detections.push_back(entry->annotation);
      result.scores.push_back(entry->score);
    }
    group.detection_end = static_cast<std::int32_t>(result.detections.size());
    result.groups.push_back(group);
  }
  return result;
}

}  // namespace lcx

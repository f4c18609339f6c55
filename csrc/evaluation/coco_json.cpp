#include "evaluation/coco_json.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>

#include "core/error.hpp"
#include "evaluation/json_reader.hpp"

namespace lcx {
namespace {

// {"image_id":1,"category_id":1,"score":1,"bbox":[1,2,3,4]}: no more than this many fit. Memory reserved and not used
// costs nothing, where a growing list of half a million would be copied again and again.
constexpr std::size_t kShortestPrediction = 57;

// The file and JsonReader::kPadding zeros behind it.
std::string read_file(const std::string& path) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"), &std::fclose);
  require_argument(file != nullptr, path, ": ", std::strerror(errno));
  std::string text;
  std::size_t length = 0;
  std::error_code unknown;
  if (std::filesystem::is_regular_file(path, unknown)) {
    const std::uintmax_t size = std::filesystem::file_size(path, unknown);
    if (!unknown) text.resize(static_cast<std::size_t>(size) + 1);  // one more, to see the end at once
  }
  std::setvbuf(file.get(), nullptr, _IONBF, 0);
  // The size may be unknown (a pipe) or wrong (a file that grows).
  while (true) {
    if (length == text.size()) text.resize(std::max<std::size_t>(2 * length, 1 << 16));
    const std::size_t got = std::fread(text.data() + length, 1, text.size() - length, file.get());
    length += got;
    if (got == 0 || std::feof(file.get())) break;
  }
  require_argument(std::ferror(file.get()) == 0, path, ": ", std::strerror(errno));
  text.resize(length + JsonReader::kPadding);
  std::fill(text.end() - JsonReader::kPadding, text.end(), '\0');
  return text;
}

class CocoParser {
 public:
  CocoParser(JsonReader& json, CocoDataset& dataset, bool keep_masks)
      : json_(json), dataset_(dataset), keep_masks_(keep_masks) {}

  void reference() {
    std::string_view key;
    for (json_.begin_object(); json_.next_member(key);) {
      if (key == "images") {
        for (json_.begin_array(); json_.next_element();) image();
      } else if (key == "categories") {
        for (json_.begin_array(); json_.next_element();) category();
      } else if (key == "annotations") {
        for (json_.begin_array(); json_.next_element();) annotation();
      } else {
        json_.skip();
      }
    }
    json_.end();
  }

  void predictions() {
    for (json_.begin_array(); json_.next_element();) annotation();
    json_.end();
  }

 private:
  void image() {
    CocoImage image;
    bool has_id = false;
    std::string_view key;
    for (json_.begin_object(); json_.next_member(key);) {
      if (key == "id") {
        image.id = json_.integer();
        has_id = true;
      } else if (key == "height") {
        image.height = json_.integer();
      } else if (key == "width") {
        image.width = json_.integer();
      } else {
        json_.skip();
      }
    }
    if (!has_id) json_.fail("an image with an id before here");
    dataset_.images.push_back(image);
  }

  void category() {
    CocoCategory category;
    bool has_id = false;
    std::string_view key;
    for (json_.begin_object(); json_.next_member(key);) {
      if (key == "id") {
        category.id = json_.integer();
        has_id = true;
      } else if (key == "name" && json_.at_string()) {
        category.name = json_.string();
      } else {
        json_.skip();
      }
    }
    if (!has_id) json_.fail("a category with an id before here");
    dataset_.categories.push_back(std::move(category));
  }

  void annotation() {
    CocoAnnotation annotation;
    MaskSource source;
    bool has_image = false;
    bool has_category = false;
    std::string_view key;
    for (json_.begin_object(); json_.next_member(key);) {
      if (key == "image_id") {
        annotation.image_id = json_.integer();
        has_image = true;
      } else if (key == "category_id") {
        annotation.category_id = json_.integer();
        has_category = true;
      } else if (key == "bbox") {
        if (!json_.null()) annotation.has_box = box(annotation.box);
      } else if (key == "score") {
        annotation.score = json_.number();
        annotation.has_score = true;
      } else if (key == "area") {
        annotation.has_area = !json_.null();
        if (annotation.has_area) annotation.area = json_.number();
      } else if (key == "iscrowd") {
        annotation.crowd = json_.flag();
      } else if (key == "segmentation" && keep_masks_) {
        source = segmentation();
      } else {
        json_.skip();
      }
    }
    if (!has_image) json_.fail("an annotation with an image_id before here");
    if (!has_category) json_.fail("an annotation with a category_id before here");
    dataset_.annotations.push_back(annotation);
    if (keep_masks_) dataset_.sources.push_back(source);
  }

  // False for an empty list, which stands for "no box".
  bool box(std::array<double, 4>& to) {
    std::size_t count = 0;
    for (json_.begin_array(); json_.next_element(); ++count) {
      if (count == 4) json_.fail("']' after the four numbers of a bbox");
      to[count] = json_.number();
    }
    if (count != 0 && count != 4) json_.fail("a bbox of four numbers before here");
    return count == 4;
  }

  MaskSource segmentation() {
    if (json_.null()) return {};
    return json_.at_array() ? polygons() : run_lengths();
  }

  MaskSource polygons() {
    PolygonCollector polygons(dataset_);
    for (json_.begin_array(); json_.next_element();) {
      for (json_.begin_array(); json_.next_element();) dataset_.numbers.push_back(json_.number());
      if (const char* expected = polygons.end_polygon()) json_.fail(expected);
    }
    if (polygons.empty()) json_.fail("a segmentation that is not empty before here");
    return polygons.source();
  }

  MaskSource run_lengths() {
    MaskSource source;
    std::string_view key;
    for (json_.begin_object(); json_.next_member(key);) {
      if (key == "size") {
        std::array<std::int64_t, 2> size{-1, -1};
        std::size_t count = 0;
        for (json_.begin_array(); json_.next_element(); ++count) {
          if (count == 2) json_.fail("']' after height and width");
          size[count] = json_.integer();
        }
        source.height = size[0];
        source.width = size[1];
      } else if (key == "counts" && json_.at_string()) {
        source.form = MaskForm::kString;
        const std::string_view text = json_.string();
        // A view of the file lasts as long as the file; an unescaped string must be kept.
        source.text = json_.is_borrowed(text) ? text : dataset_.texts.emplace_back(text);
      } else if (key == "counts") {
        source.form = MaskForm::kCounts;
        source.begin = dataset_.counts.size();
        for (json_.begin_array(); json_.next_element();) {
          const std::int64_t count = json_.integer();
          if (count < 0 || count >= (1LL << 32)) json_.fail("a count within 0 and 2^32 - 1 before here");
          dataset_.counts.push_back(static_cast<std::uint32_t>(count));
        }
        source.end = dataset_.counts.size();
      } else {
        json_.skip();
      }
    }
    if (source.form == MaskForm::kNone) json_.fail("a segmentation with counts before here");
    if (source.height < 0 || source.width < 0) json_.fail("a segmentation with a size of height and width before here");
    return source;
  }

  JsonReader& json_;
  CocoDataset& dataset_;
  bool keep_masks_;
};

}  // namespace

CocoDataset read_coco_reference(const std::string& path, CocoTarget target, int threads) {
  const std::string text = read_file(path);
  CocoDataset dataset;
  dataset.name = path;
  JsonReader json(path, text.data(), text.size() - JsonReader::kPadding);
  CocoParser(json, dataset, target == CocoTarget::kMasks).reference();
  dataset.finish_reference(threads);
  return dataset;
}

CocoDataset read_coco_predictions(const std::string& path, const CocoDataset& reference, CocoTarget target,
                                  int threads) {
  const std::string text = read_file(path);
  bool keep_masks = target == CocoTarget::kMasks;
  CocoDataset dataset;
  while (true) {
    dataset = CocoDataset();
    dataset.name = path;
    JsonReader json(path, text.data(), text.size() - JsonReader::kPadding);
    dataset.annotations.reserve(text.size() / kShortestPrediction);
    CocoParser(json, dataset, keep_masks).predictions();
    // Boxes of predictions that have masks only are the masks' own.
    if (keep_masks || dataset.annotations.empty() || dataset.annotations.front().has_box) break;
    keep_masks = true;
  }
  dataset.finish_predictions(reference, threads);
  return dataset;
}

}  // namespace lcx

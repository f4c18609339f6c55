// COCO datasets from files or Python objects, and their evaluation.

#include <pybind11/stl.h>
#include <pybind11/stl/filesystem.h>

#include <cmath>
#include <filesystem>

#include "bindings/array_view.hpp"
#include "bindings/bindings.hpp"
#include "evaluation/coco_evaluate.hpp"
#include "evaluation/coco_json.hpp"

namespace lcx::bindings {
namespace {

CocoTarget target_of(const std::string& iou_type) {
  require_argument(iou_type == "bbox" || iou_type == "segm", "iou_type '", iou_type, "'; accepted: 'bbox', 'segm'");
  return iou_type == "bbox" ? CocoTarget::kBoxes : CocoTarget::kMasks;
}

// Fills a CocoDataset from dictionaries, as COCO's files hold them.
class ObjectReader {
 public:
  ObjectReader(CocoDataset& dataset, bool keep_masks) : dataset_(dataset), keep_masks_(keep_masks) {}

  void reference(const py::dict& object) {
    for_each(object, "images", [&](const py::dict& item) {
      CocoImage image{integer(need(item, "id"), "id")};
      if (const py::object v = get(item, "height"); !v.is_none()) image.height = integer(v, "height");
      if (const py::object v = get(item, "width"); !v.is_none()) image.width = integer(v, "width");
      dataset_.images.push_back(image);
    });
    for_each(object, "categories", [&](const py::dict& item) {
      const py::object name = get(item, "name");
      dataset_.categories.push_back({integer(need(item, "id"), "id"), name.is_none() ? "" : utf8(py::str(name))});
    });
    for_each(object, "annotations", [&](const py::dict& item) { annotation(item); });
  }

  void predictions(const py::list& items) {
    for_each_of(items, "predictions", [&](const py::dict& i) { annotation(i); });
  }

 private:
  template <typename... Parts>
  void check(bool condition, const Parts&... parts) const {
    require_argument(condition, dataset_.name, ": ", where_, "[", index_, "]: ", parts...);
  }

  template <typename Visit>
  void for_each_of(const py::list& items, const char* where, const Visit& visit) {
    where_ = where;
    index_ = 0;
    for (const py::handle item : items) {
      check(py::isinstance<py::dict>(item), "a dictionary is needed");
      visit(py::reinterpret_borrow<py::dict>(item));
      ++index_;
    }
  }

  template <typename Visit>
  void for_each(const py::dict& object, const char* key, const Visit& visit) {
    const py::object items = get(object, key);
    if (items.is_none()) return;
    require_argument(py::isinstance<py::iterable>(items) && !py::isinstance<py::dict>(items), dataset_.name, ": '", key,
                     "' must be a list");
    for_each_of(py::reinterpret_borrow<py::iterable>(items), key, visit);
  }

  static py::object get(const py::dict& item, const char* key) {
    return item.contains(key) ? py::reinterpret_borrow<py::object>(item[key]) : py::object(py::none());
  }

  py::object need(const py::dict& item, const char* key) const {
    py::object value = get(item, key);
    check(!value.is_none(), "has no ", key);
    return value;
  }

  double number(const py::handle value, const char* key) const {
    const double result = PyFloat_AsDouble(value.ptr());
    const bool failed = PyErr_Occurred() != nullptr;
    if (failed) PyErr_Clear();
    if (!failed && std::isfinite(result)) return result;
    check(false, key, " is ", py::repr(value).cast<std::string>(), "; a finite number is needed");
    return 0;
  }

  std::int64_t integer(const py::handle value, const char* key) const {
    const auto index = py::reinterpret_steal<py::object>(PyNumber_Index(value.ptr()));
    const std::int64_t result = index ? PyLong_AsLongLong(index.ptr()) : -1;
    if (PyErr_Occurred() != nullptr) {
      PyErr_Clear();
      check(false, key, " is ", py::repr(value).cast<std::string>(), "; an integer below 2^63 is needed");
    }
    return result;
  }

  // A str may hold halves of characters, as file names do; they are replaced.
  static std::string utf8(const py::str& text) {
    const auto bytes = py::reinterpret_steal<py::bytes>(PyUnicode_AsEncodedString(text.ptr(), "utf-8", "replace"));
    if (!bytes) throw py::error_already_set();
    return bytes;
  }

  py::iterable list(const py::object& value, const char* key) const {
    check(py::isinstance<py::iterable>(value) && !py::isinstance<py::str>(value) && !py::isinstance<py::dict>(value),
          key, " must be a list");
    return py::reinterpret_borrow<py::iterable>(value);
  }

  void annotation(const py::dict& item) {
    CocoAnnotation annotation;
    annotation.image_id = integer(need(item, "image_id"), "image_id");
    annotation.category_id = integer(need(item, "category_id"), "category_id");
    if (const py::object v = get(item, "bbox"); !v.is_none()) {
      std::size_t count = 0;
      for (const py::handle part : list(v, "bbox")) {
        check(count < 4, "bbox must have four numbers");
        annotation.box[count++] = number(part, "bbox");
      }
      check(count == 0 || count == 4, "bbox must have four numbers");
      annotation.has_box = count == 4;
    }
    if (const py::object v = get(item, "score"); !v.is_none()) {
      annotation.score = number(v, "score");
      annotation.has_score = true;
    }
    if (const py::object v = get(item, "area"); !v.is_none()) {
      annotation.area = number(v, "area");
      annotation.has_area = true;
    }
    if (const py::object v = get(item, "iscrowd"); !v.is_none()) annotation.crowd = number(v, "iscrowd") != 0;
    if (keep_masks_) dataset_.sources.push_back(segmentation(get(item, "segmentation")));
    dataset_.annotations.push_back(annotation);
  }

  MaskSource segmentation(const py::object& value) {
    if (value.is_none()) return {};
    if (py::isinstance<ColumnRuns>(value)) {
      const auto& runs = value.cast<const ColumnRuns&>();
      const auto values = to_counts(runs);
      const std::size_t begin = dataset_.counts.size();
      dataset_.counts.insert(dataset_.counts.end(), values.begin(), values.end());
      return {MaskForm::kCounts, begin, dataset_.counts.size(), {}, runs.height, runs.width};
    }
    if (py::isinstance<py::dict>(value)) return run_lengths(py::reinterpret_borrow<py::dict>(value));
    PolygonCollector polygons(dataset_);
    for (const py::handle part : list(value, "segmentation")) {
      const auto polygon = list(py::reinterpret_borrow<py::object>(part), "each polygon of segmentation");
      for (const py::handle v : polygon) dataset_.numbers.push_back(number(v, "segmentation"));
      if (const char* expected = polygons.end_polygon()) check(false, "segmentation: expected ", expected);
    }
    check(!polygons.empty(), "segmentation is empty");
    return polygons.source();
  }

  MaskSource run_lengths(const py::dict& item) {
    std::vector<std::int64_t> size;
    for (const py::handle v : list(need(item, "size"), "size")) size.push_back(integer(v, "size"));
    check(size.size() == 2, "size must be height and width");
    MaskSource source{MaskForm::kString, 0, 0, {}, size[0], size[1]};
    const py::object counts = need(item, "counts");
    if (py::isinstance<py::bytes>(counts) || py::isinstance<py::str>(counts)) {
      const bool is_text = py::isinstance<py::str>(counts);
      source.text = dataset_.texts.emplace_back(is_text ? utf8(counts) : counts.cast<std::string>());
      return source;
    }
    source.form = MaskForm::kCounts;
    source.begin = dataset_.counts.size();
    for (const py::handle v : list(counts, "counts")) {
      const std::int64_t count = integer(v, "counts");
      check(count >= 0 && count < (1LL << 32), "counts must be within 0 and 2^32 - 1");
      dataset_.counts.push_back(static_cast<std::uint32_t>(count));
    }
    source.end = dataset_.counts.size();
    return source;
  }

  CocoDataset& dataset_;
  bool keep_masks_;
  const char* where_ = "";
  std::int64_t index_ = 0;
};

CocoDataset reference_from_objects(const py::dict& object, const std::string& name, const std::string& iou_type,
                                   int threads) {
  CocoDataset dataset;
  dataset.name = name;
  ObjectReader(dataset, target_of(iou_type) == CocoTarget::kMasks).reference(object);
  const py::gil_scoped_release release;
  dataset.finish_reference(threads);
  return dataset;
}

CocoDataset predictions_from_objects(const py::list& items, const CocoDataset& reference, const std::string& name,
                                     const std::string& iou_type, int threads) {
  CocoDataset dataset;
  dataset.name = name;
  // Boxes of predictions that have masks only are the masks' own, so masks are kept unless the first has a box.
  bool keep_masks = target_of(iou_type) == CocoTarget::kMasks;
  for (const py::handle item : items) {
    if (!py::isinstance<py::dict>(item)) break;
    const auto first = py::reinterpret_borrow<py::dict>(item);
    keep_masks = keep_masks || !first.contains("bbox") || py::len(first["bbox"]) == 0;
    break;
  }
  ObjectReader(dataset, keep_masks).predictions(items);
  const py::gil_scoped_release release;
  dataset.finish_predictions(reference, threads);
  return dataset;
}

py::tuple evaluate(const CocoDataset& reference, const CocoDataset& predictions, const std::string& iou_type,
                   const std::vector<double>& iou_thresholds, const std::vector<double>& recall_thresholds,
                   const std::vector<std::array<double, 2>>& area_ranges,
                   const std::vector<std::int64_t>& max_detections, bool use_categories,
                   const std::vector<std::int64_t>& image_ids, const std::vector<std::int64_t>& category_ids,
                   int threads) {
  const CocoOptions options{target_of(iou_type), iou_thresholds, recall_thresholds, area_ranges,
                            max_detections,      use_categories, image_ids,         category_ids};
  const auto length = [](const auto& values) { return static_cast<std::int64_t>(values.size()); };
  const std::int64_t categories = use_categories ? length(category_ids) : 1;
  const std::array<std::int64_t, 5> shape{length(iou_thresholds), length(recall_thresholds), categories,
                                          length(area_ranges), length(max_detections)};
  auto [precision, precision_view] = make_array<double, 5>(shape);
  auto [recall, recall_view] = make_array<double, 4>({shape[0], shape[2], shape[3], shape[4]});
  auto [scores, scores_view] = make_array<double, 5>(shape);
  {
    const py::gil_scoped_release release;
    coco_evaluate(reference, predictions, options, {precision_view, recall_view, scores_view}, threads);
  }
  return py::make_tuple(precision, recall, scores);
}

}  // namespace

void bind_coco(py::module_& module) {
  py::class_<CocoDataset>(module, "CocoDataset", "COCO references, or predictions, in memory.")
      .def_static(
          "reference_from_file",
          [](const std::filesystem::path& path, const std::string& iou_type, int threads) {
            const auto target = target_of(iou_type);
            const py::gil_scoped_release release;
            return read_coco_reference(path.string(), target, threads);
          },
          py::arg("path"), py::kw_only(), py::arg("iou_type"), py::arg("threads"))
      .def_static(
          "predictions_from_file",
          [](const std::filesystem::path& path, const CocoDataset& reference, const std::string& iou_type,
             int threads) {
            const auto target = target_of(iou_type);
            const py::gil_scoped_release release;
            return read_coco_predictions(path.string(), reference, target, threads);
          },
          py::arg("path"), py::arg("reference"), py::kw_only(), py::arg("iou_type"), py::arg("threads"))
      .def_static("reference_from_objects", &reference_from_objects, py::arg("object"), py::kw_only(), py::arg("name"),
                  py::arg("iou_type"), py::arg("threads"))
      .def_static("predictions_from_objects", &predictions_from_objects, py::arg("items"), py::arg("reference"),
                  py::kw_only(), py::arg("name"), py::arg("iou_type"), py::arg("threads"))
      .def("__len__", [](const CocoDataset& dataset) { return dataset.annotations.size(); })
      .def_property_readonly("image_ids",
                             [](const CocoDataset& dataset) {
                               std::vector<std::int64_t> ids;
                               for (const CocoImage& image : dataset.images) ids.push_back(image.id);
                               return ids;
                             })
      .def_property_readonly("categories", [](const CocoDataset& dataset) {
        std::vector<std::pair<std::int64_t, py::str>> categories;
        for (const CocoCategory& category : dataset.categories) {
          // A file may hold anything; what is not UTF-8 is replaced.
          PyObject* text =
              PyUnicode_DecodeUTF8(category.name.data(), static_cast<Py_ssize_t>(category.name.size()), "replace");
          categories.emplace_back(category.id, py::reinterpret_steal<py::str>(text));
        }
        return categories;
      });
  module.def("coco_evaluate", &evaluate, py::arg("reference"), py::arg("predictions"), py::kw_only(),
             py::arg("iou_type"), py::arg("iou_thresholds"), py::arg("recall_thresholds"), py::arg("area_ranges"),
             py::arg("max_detections"), py::arg("use_categories"), py::arg("image_ids"), py::arg("category_ids"),
             py::arg("threads"));
}

}  // namespace lcx::bindings

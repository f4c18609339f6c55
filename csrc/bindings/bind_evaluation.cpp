#include <pybind11/stl.h>

#include <variant>

#include "bindings/array_view.hpp"
#include "bindings/bindings.hpp"
#include "bindings/call.hpp"
#include "ops/box_iou/box_iou.hpp"
#include "ops/encode_rle/encode_rle.hpp"
#include "ops/mask_iou/mask_iou.hpp"
#include "ops/match_detections/match_detections.hpp"

namespace lcx::bindings {
namespace {

// Without forcecast: numbers that are no integers are refused.
using Counts = py::array_t<std::int64_t, py::array::c_style>;
using Text = std::variant<py::bytes, std::string>;

BoxFormat box_format(const std::string& name) {
  require_argument(name == "xyxy" || name == "xywh", "format '", name, "'; accepted: 'xyxy', 'xywh'");
  return name == "xyxy" ? BoxFormat::kXyxy : BoxFormat::kXywh;
}

MergeMode merge_mode(const std::string& name) {
  require_argument(name == "union" || name == "intersection", "mode '", name, "'; accepted: 'union', 'intersection'");
  return name == "union" ? MergeMode::kUnion : MergeMode::kIntersection;
}

TensorView<const std::uint8_t, 1> optional_flags(const py::object& flags, const char* name) {
  return flags.is_none() ? TensorView<const std::uint8_t, 1>{} : view<const std::uint8_t, 1>(flags, name);
}

py::object bind_box_iou(const py::object& predicted, const py::object& reference, const std::string& format,
                        const py::object& crowd, int threads, const py::object& stream) {
  Call call(stream);
  const Array boxes = call.array(predicted, "predicted");
  const BoxFormat kind = box_format(format);
  const auto crowd_view = call.optional_view<const std::uint8_t, 1>(crowd, "crowd");
  py::object result;
  dispatch<2, float, double>(boxes, "predicted", [&]<typename T>(TensorView<const T, 2> predicted_view) {
    const auto reference_view = call.view<const T, 2>(reference, "reference");
    const auto iou = call.make<T, 2>({predicted_view.shape[0], reference_view.shape[0]}, false);
    {
      const py::gil_scoped_release release;
      box_iou(predicted_view, reference_view, kind, crowd_view, iou.view, threads, call.stream());
    }
    result = iou.get();
  });
  return result;
}

py::object bind_mask_iou(const py::object& predicted, const py::object& reference, const py::object& crowd, int threads,
                         const py::object& stream) {
  Call call(stream);
  const auto predicted_view = call.view<const std::uint8_t, 2>(predicted, "predicted");
  const auto reference_view = call.view<const std::uint8_t, 2>(reference, "reference");
  const auto crowd_view = call.optional_view<const std::uint8_t, 1>(crowd, "crowd");
  const auto iou = call.make<double, 2>({predicted_view.shape[0], reference_view.shape[0]}, false);
  {
    const py::gil_scoped_release release;
    mask_iou(predicted_view, reference_view, crowd_view, iou.view, threads, call.stream());
  }
  return iou.get();
}

std::vector<ColumnRunsView> views_of(const std::vector<const ColumnRuns*>& masks) {
  std::vector<ColumnRunsView> views;
  for (const ColumnRuns* mask : masks) {
    require_argument(mask != nullptr, "mask ", views.size(), " is None; needed: Rle");
    views.push_back(*mask);
  }
  return views;
}

py::array bind_rle_iou(const std::vector<const ColumnRuns*>& predicted, const std::vector<const ColumnRuns*>& reference,
                       const py::object& crowd, int threads) {
  const auto crowd_view = optional_flags(crowd, "crowd");
  const auto predicted_views = views_of(predicted);
  const auto reference_views = views_of(reference);
  auto [array, iou] =
      make_array<double, 2>({static_cast<std::int64_t>(predicted.size()), static_cast<std::int64_t>(reference.size())});
  {
    const py::gil_scoped_release release;
    mask_iou(predicted_views, reference_views, crowd_view, iou, threads);
  }
  return array;
}

py::tuple bind_match_detections(const py::object& iou, const std::vector<double>& thresholds, const py::object& ignore,
                                const py::object& crowd, const py::object& stream) {
  Call call(stream);
  const Array overlaps = call.array(iou, "iou");
  const auto ignore_view = call.optional_view<const std::uint8_t, 1>(ignore, "ignore");
  const auto crowd_view = call.optional_view<const std::uint8_t, 1>(crowd, "crowd");
  py::tuple result;
  dispatch<2, float, double>(overlaps, "iou", [&]<typename T>(TensorView<const T, 2> iou_view) {
    const auto rows = static_cast<std::int64_t>(thresholds.size());
    const auto to_reference = call.make<std::int32_t, 2>({rows, iou_view.shape[0]}, false);
    const auto to_detection = call.make<std::int32_t, 2>({rows, iou_view.shape[1]}, false);
    const auto ignored = call.make<std::uint8_t, 2>({rows, iou_view.shape[0]}, false, true);
    {
      const py::gil_scoped_release release;
      match_detections(iou_view, std::span<const double>(thresholds), ignore_view, crowd_view,
                       {to_reference.view, to_detection.view, ignored.view}, call.stream());
    }
    result = py::make_tuple(to_reference.get(), to_detection.get(), ignored.get());
  });
  return result;
}

// Run-length masks ---------------------------------------------------------------------------------------------------

ColumnRuns rle_from_counts(const Counts& counts, std::array<std::int64_t, 2> shape) {
  require_argument(counts.ndim() == 1, "counts have ", counts.ndim(), " axes; needed: 1");
  std::vector<std::uint32_t> values;
  for (py::ssize_t i = 0; i < counts.size(); ++i) {
    require_argument(counts.at(i) >= 0 && counts.at(i) < (1LL << 32), "count ", i, " is ", counts.at(i),
                     "; must be within 0 and 2^32 - 1");
    values.push_back(static_cast<std::uint32_t>(counts.at(i)));
  }
  ColumnRuns runs{shape[0], shape[1], {}};
  append_counts(values, shape[0], shape[1], runs.edges);
  return runs;
}

ColumnRuns rle_from_string(const Text& text, std::array<std::int64_t, 2> shape) {
  ColumnRuns runs{shape[0], shape[1], {}};
  const bool is_bytes = std::holds_alternative<py::bytes>(text);
  const std::string_view characters =
      is_bytes ? std::string_view(std::get<py::bytes>(text)) : std::get<std::string>(text);
  const py::gil_scoped_release release;
  append_string(characters, shape[0], shape[1], runs.edges);
  return runs;
}

ColumnRuns rle_from_polygons(const std::vector<std::vector<double>>& polygons, std::array<std::int64_t, 2> shape) {
  check_mask_shape(shape[0], shape[1]);
  if (polygons.empty()) return {shape[0], shape[1], {}};
  const py::gil_scoped_release release;
  std::vector<ColumnRuns> parts;
  for (std::size_t i = 0; i < polygons.size(); ++i) {
    require_argument(polygons[i].size() % 2 == 0 && polygons[i].size() >= 6, "polygon ", i, " has ", polygons[i].size(),
                     " numbers; needed: x and y of at least three points");
    parts.push_back({shape[0], shape[1], {}});
    append_polygon(polygons[i], shape[0], shape[1], parts.back().edges);
  }
  const std::vector<ColumnRunsView> views(parts.begin(), parts.end());
  return merge(views, MergeMode::kUnion);
}

py::array rle_decode(const ColumnRuns& runs) {
  const py::tuple shape = py::make_tuple(runs.height, runs.width);
  const auto array =
      py::module_::import("numpy").attr("zeros")(shape, "bool", py::arg("order") = "F").cast<py::array>();
  const auto mask = view<std::uint8_t, 2>(array, "mask");
  const py::gil_scoped_release release;
  decode_rle(runs, mask);
  return array;
}

ColumnRuns bind_encode_rle(const py::object& mask) {
  const auto mask_view = view<const std::uint8_t, 2>(mask, "mask");
  const py::gil_scoped_release release;
  return encode_rle(mask_view);
}

ColumnRuns bind_merge(const std::vector<const ColumnRuns*>& masks, const std::string& mode) {
  const auto views = views_of(masks);
  const MergeMode how = merge_mode(mode);
  const py::gil_scoped_release release;
  return merge(views, how);
}

void bind_rle(py::module_& module) {
  py::class_<ColumnRuns>(module, "Rle",
                         "A binary mask in COCO's run-length code: stretches of background and foreground down the "
                         "columns, background first.")
      .def_static("from_counts", &rle_from_counts, py::arg("counts"), py::arg("shape"),
                  "From COCO's uncompressed counts, uint32 [N], and (H, W).")
      .def_static("from_string", &rle_from_string, py::arg("text"), py::arg("shape"),
                  "From COCO's compressed string, bytes or str, and (H, W).")
      .def_static("from_polygons", &rle_from_polygons, py::arg("polygons"), py::arg("shape"),
                  "The union of polygons [x0, y0, x1, y1, ...], drawn to the pixel as COCO's own tools draw them.")
      .def_property_readonly(
          "shape", [](const ColumnRuns& r) { return py::make_tuple(r.height, r.width); }, "(H, W).")
      .def_property_readonly(
          "counts",
          [](const ColumnRuns& r) {
            const auto counts = to_counts(r);
            return py::array_t<std::uint32_t>(static_cast<py::ssize_t>(counts.size()), counts.data());
          },
          "uint32 [N]: lengths of background, foreground, background, ...")
      .def_property_readonly(
          "area", [](const ColumnRuns& r) { return area(r); }, "Foreground pixels.")
      .def_property_readonly(
          "bounding_box",
          [](const ColumnRuns& r) {
            const PixelBox box = bounding_box(r);
            return py::make_tuple(box.y0, box.x0, box.y1, box.x1);
          },
          "Half-open (y0, x0, y1, x1); all 0 for an empty mask.")
      .def(
          "to_string", [](const ColumnRuns& r) { return py::bytes(to_string(r)); }, "COCO's compressed string.")
      .def("decode", &rle_decode, "bool [H, W] in Fortran order.")
      .def("__eq__",
           [](const ColumnRuns& a, const py::object& b) {
             return py::isinstance<ColumnRuns>(b) && a == b.cast<const ColumnRuns&>();
           })
      .def("__hash__",
           [](const ColumnRuns& r) { return py::hash(py::make_tuple(r.height, r.width, py::bytes(to_string(r)))); })
      .def("__repr__",
           [](const ColumnRuns& r) {
             return "<Rle " + std::to_string(r.height) + " x " + std::to_string(r.width) + ", area " +
                    std::to_string(area(r)) + ">";
           })
      .def(py::pickle([](const ColumnRuns& r) { return py::make_tuple(r.height, r.width, py::bytes(to_string(r))); },
                      [](const py::tuple& state) {
                        return rle_from_string(state[2].cast<py::bytes>(),
                                               {state[0].cast<std::int64_t>(), state[1].cast<std::int64_t>()});
                      }));
}

}  // namespace

void bind_evaluation(py::module_& module) {
  bind_rle(module);
  module.def("box_iou", &bind_box_iou, py::arg("predicted"), py::arg("reference"), py::kw_only(), py::arg("format"),
             py::arg("crowd"), py::arg("threads"), py::arg("stream") = py::none());
  module.def("mask_iou", &bind_mask_iou, py::arg("predicted"), py::arg("reference"), py::kw_only(), py::arg("crowd"),
             py::arg("threads"), py::arg("stream") = py::none());
  module.def("rle_iou", &bind_rle_iou, py::arg("predicted"), py::arg("reference"), py::kw_only(), py::arg("crowd"),
             py::arg("threads"));
  module.def("match_detections", &bind_match_detections, py::arg("iou"), py::kw_only(), py::arg("thresholds"),
             py::arg("ignore"), py::arg("crowd"), py::arg("stream") = py::none());
  module.def("encode_rle", &bind_encode_rle, py::arg("mask"));
  module.def("merge_rle", &bind_merge, py::arg("masks"), py::kw_only(), py::arg("mode"));
}

}  // namespace lcx::bindings

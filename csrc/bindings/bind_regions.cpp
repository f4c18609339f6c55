#include <pybind11/stl.h>

#include <algorithm>

#include "bindings/array_view.hpp"
#include "bindings/bindings.hpp"
#include "bindings/call.hpp"
#include "ops/fill_holes/fill_holes.hpp"
#include "ops/fill_polygons/fill_polygons.hpp"
#include "ops/find_lesions/find_lesions.hpp"
#include "ops/hysteresis/hysteresis.hpp"
#include "ops/label_components/label_components.hpp"
#include "ops/region_props/region_props.hpp"
#include "ops/remove_small/remove_small.hpp"
#include "ops/trace_contours/trace_contours.hpp"

namespace lcx::bindings {
namespace {

Connectivity connectivity_of(int value) {
  require_argument(value == 4 || value == 8, "connectivity ", value, "; accepted: 4, 8");
  return value == 4 ? Connectivity::kFour : Connectivity::kEight;
}

py::tuple bind_label_components(const py::object& mask, int connectivity, int threads, const py::object& stream) {
  const auto kind = connectivity_of(connectivity);
  Call call(stream);
  const auto mask_view = call.view<const std::uint8_t, 2>(mask, "mask");
  const auto labels = call.make<std::int32_t, 2>(mask_view.shape, true);
  std::int32_t count = 0;
  {
    const py::gil_scoped_release release;
    count = label_components(mask_view, kind, labels.view, threads, call.stream());
  }
  return py::make_tuple(labels.get(), count);
}

py::object bind_fill_holes(const py::object& mask, int threads, const py::object& stream) {
  Call call(stream);
  const auto mask_view = call.view<const std::uint8_t, 2>(mask, "mask");
  const auto filled = call.make<std::uint8_t, 2>(mask_view.shape, true, true);
  {
    const py::gil_scoped_release release;
    fill_holes(mask_view, filled.view, threads, call.stream());
  }
  return filled.get();
}

py::object bind_remove_small(const py::object& mask, std::int64_t min_area, int connectivity, int threads,
                             const py::object& stream) {
  const auto kind = connectivity_of(connectivity);
  Call call(stream);
  const auto mask_view = call.view<const std::uint8_t, 2>(mask, "mask");
  const auto kept = call.make<std::uint8_t, 2>(mask_view.shape, true, true);
  {
    const py::gil_scoped_release release;
    remove_small(mask_view, min_area, kind, kept.view, threads, call.stream());
  }
  return kept.get();
}

py::object bind_hysteresis(const py::object& values, float low, float high, int connectivity, int threads,
                           const py::object& stream) {
  const auto kind = connectivity_of(connectivity);
  Call call(stream);
  const auto values_view = call.view<const float, 2>(values, "values");
  const auto mask = call.make<std::uint8_t, 2>(values_view.shape, true, true);
  {
    const py::gil_scoped_release release;
    hysteresis(values_view, low, high, kind, mask.view, threads, call.stream());
  }
  return mask.get();
}

py::dict geometry_table(const std::vector<RegionGeometry>& regions) {
  const auto count = static_cast<std::int64_t>(regions.size());
  py::dict result;
  const auto at = [&](std::int64_t i) -> const RegionGeometry& { return regions[static_cast<std::size_t>(i)]; };
  py::array_t<std::int64_t> area(count);
  std::transform(regions.begin(), regions.end(), area.mutable_data(), [](const auto& region) { return region.area; });
  result["area"] = area;
  result["bounding_box"] = table<std::int32_t>(count, 4, [&](std::int64_t i, std::int64_t j) {
    return std::array{at(i).y0, at(i).x0, at(i).y1, at(i).x1}[static_cast<std::size_t>(j)];
  });
  result["centroid"] = table<double>(count, 2, [&](std::int64_t i, std::int64_t j) {
    if (at(i).area == 0) return std::nan("");
    return j == 0 ? at(i).centroid_y() : at(i).centroid_x();
  });
  return result;
}

void add_values(py::dict& result, const std::vector<RegionValues>& values) {
  const auto column = [&](float RegionValues::* member) {
    py::array_t<float> array(static_cast<py::ssize_t>(values.size()));
    std::transform(values.begin(), values.end(), array.mutable_data(), [&](const auto& of) { return of.*member; });
    return array;
  };
  result["mean"] = column(&RegionValues::mean);
  result["max"] = column(&RegionValues::max);
  result["top_mean"] = column(&RegionValues::top_mean);
}

py::dict bind_region_props(const py::object& labels, const py::object& values, std::int32_t count,
                           const py::object& stream) {
  Call call(stream);
  const auto labels_view = call.view<const std::int32_t, 2>(labels, "labels");
  const auto values_view = call.optional_view<const float, 2>(values, "values");
  RegionProps props;
  {
    const py::gil_scoped_release release;
    props = region_props(labels_view, values_view, count, call.stream());
  }
  py::dict result = geometry_table(props.geometry);
  if (!values.is_none()) add_values(result, props.values);
  return result;
}

py::tuple bind_measure_runs(const py::object& values, const py::object& runs) {
  const auto values_view = view<const float, 2>(values, "values");
  const auto runs_view = view<const std::int32_t, 2>(runs, "runs");
  RegionValues found;
  {
    const py::gil_scoped_release release;
    found = measure_runs(values_view, runs_view);
  }
  return py::make_tuple(found.mean, found.max, found.top_mean);
}

// Points [P, 2] and offsets [K + 1]: thousands of small arrays would take longer to make than to find.
template <typename T>
py::tuple polygon_arrays(const Polygons<T>& polygons) {
  py::array_t<T> points({static_cast<py::ssize_t>(polygons.points.size()), py::ssize_t{2}});
  std::copy_n(polygons.points.data(), polygons.points.size(),
              reinterpret_cast<std::array<T, 2>*>(points.mutable_data()));
  py::array_t<std::int64_t> offsets(static_cast<py::ssize_t>(polygons.offsets.size()), polygons.offsets.data());
  return py::make_tuple(points, offsets);
}

py::tuple bind_trace_contours(const py::object& mask, int threads, const py::object& stream) {
  Call call(stream);
  const auto mask_view = call.view<const std::uint8_t, 2>(mask, "mask");
  Contours contours;
  {
    const py::gil_scoped_release release;
    contours = trace_contours(mask_view, threads, call.stream());
  }
  py::array_t<bool> is_hole(static_cast<py::ssize_t>(contours.is_hole.size()));
  for (std::size_t i = 0; i < contours.is_hole.size(); ++i) {
    is_hole.mutable_at(static_cast<py::ssize_t>(i)) = contours.is_hole[i] != 0;
  }
  return py::make_tuple(polygon_arrays(contours.polygons), is_hole);
}

TensorView<const Half, 2> half_view(Array array, const char* name) {
  array.dtype = dtype_name<std::uint16_t>();  // the same bits; C++ has no name for the type yet
  const auto bits = view<const std::uint16_t, 2>(array, name);
  return {reinterpret_cast<const Half*>(bits.data), bits.shape, bits.strides, bits.device};
}

py::dict bind_find_lesions(const py::object& map, float low, float high, std::int64_t min_area, bool fill_holes,
                           int threads, const py::object& stream) {
  Call call(stream);
  const Array array = call.array(map, "map");
  Lesions lesions;
  const auto find = [&](auto map_view) {
    const py::gil_scoped_release release;
    lesions = find_lesions(map_view, {low, high, min_area, fill_holes}, threads, call.stream());
  };
  if (array.dtype == "<f2") {
    find(half_view(array, "map"));
  } else {
    require_argument(array.dtype == dtype_name<float>() || array.dtype == dtype_name<std::uint8_t>(), "map is ",
                     readable(array.dtype), "; accepted: float32, float16, uint8");
    dispatch<2, float, std::uint8_t>(array, "map", find);
  }
  return lesion_table(lesions);
}

py::array bind_fill_polygons(const py::object& points, const py::object& offsets, std::int64_t height,
                             std::int64_t width) {
  const auto points_view = view<const double, 2>(points, "points");
  const auto offsets_view = view<const std::int64_t, 1>(offsets, "offsets");
  RunMask mask;
  {
    const py::gil_scoped_release release;
    mask = fill_polygons(points_view, offsets_view, height, width);
  }
  py::array_t<std::int32_t> array({static_cast<py::ssize_t>(mask.runs.size()), py::ssize_t{3}});
  auto cells = array.mutable_unchecked<2>();
  py::ssize_t n = 0;
  for (std::int64_t y = 0; y < mask.height; ++y) {
    for (const Run* run = mask.begin_of(y); run != mask.end_of(y); ++run, ++n) {
      cells(n, 0) = static_cast<std::int32_t>(y);
      cells(n, 1) = run->begin;
      cells(n, 2) = run->end;
    }
  }
  return array;
}

}  // namespace

py::dict lesion_table(const Lesions& lesions) {
  py::dict result = geometry_table(lesions.geometry);
  add_values(result, lesions.values);
  result["outlines"] = polygon_arrays(lesions.outlines);
  return result;
}

void bind_regions(py::module_& module) {
  module.def("label_components", &bind_label_components, py::arg("mask"), py::kw_only(), py::arg("connectivity"),
             py::arg("threads"), py::arg("stream") = py::none());
  module.def("fill_holes", &bind_fill_holes, py::arg("mask"), py::kw_only(), py::arg("threads"),
             py::arg("stream") = py::none());
  module.def("remove_small", &bind_remove_small, py::arg("mask"), py::kw_only(), py::arg("min_area"),
             py::arg("connectivity"), py::arg("threads"), py::arg("stream") = py::none());
  module.def("hysteresis", &bind_hysteresis, py::arg("values"), py::kw_only(), py::arg("low"), py::arg("high"),
             py::arg("connectivity"), py::arg("threads"), py::arg("stream") = py::none());
  module.def("region_props", &bind_region_props, py::arg("labels"), py::arg("values"), py::kw_only(), py::arg("count"),
             py::arg("stream") = py::none());
  module.def("measure_runs", &bind_measure_runs, py::arg("values"), py::arg("runs"));
  module.def("trace_contours", &bind_trace_contours, py::arg("mask"), py::kw_only(), py::arg("threads"),
             py::arg("stream") = py::none());
  module.def("find_lesions", &bind_find_lesions, py::arg("map"), py::kw_only(), py::arg("low"), py::arg("high"),
             py::arg("min_area"), py::arg("fill_holes"), py::arg("threads"), py::arg("stream") = py::none());
  module.def("fill_polygons", &bind_fill_polygons, py::arg("points"), py::arg("offsets"), py::kw_only(),
             py::arg("height"), py::arg("width"));
}

}  // namespace lcx::bindings

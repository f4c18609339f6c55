#include <pybind11/stl.h>

#include "bindings/array_view.hpp"
#include "bindings/bindings.hpp"
#include "evaluation/lesion_matches.hpp"
#include "evaluation/lesion_points.hpp"

namespace lcx::bindings {
namespace {

template <typename T>
py::array_t<T> copy(const std::vector<T>& values) {
  return py::array_t<T>(static_cast<py::ssize_t>(values.size()), values.data());
}

LabelMap label_map(const py::handle& labels) {
  LabelMap map;
  dispatch<2, std::int32_t, std::uint8_t, std::int64_t, std::uint16_t, std::int16_t, std::uint32_t, std::int8_t,
           std::uint64_t>(as_array(py::reinterpret_borrow<py::object>(labels), "outlines"), "outlines",
                          [&](const auto& view) { map = view; });
  return map;
}

// Scores and lesion of each point, areas of all lesions, and the number of lesions of each image; lesions are counted
// through all images.
py::tuple bind_compare_points(const py::object& points, const py::object& scores,
                              const std::vector<std::int64_t>& counts, const py::list& outlines, int threads) {
  const auto points_view = view<const double, 2>(points, "points");
  const auto scores_view = view<const double, 1>(scores, "scores");
  std::vector<LabelMap> maps;  // their arrays are the list's
  for (const py::handle labels : outlines) maps.push_back(label_map(labels));
  LesionPoints all;
  std::vector<std::int64_t> lesions;
  {
    const py::gil_scoped_release release;
    for (const LesionPoints& image : compare_points(points_view, scores_view, counts, maps, threads)) {
      const auto before = static_cast<std::int64_t>(all.areas.size());
      for (const std::int64_t lesion : image.lesion) all.lesion.push_back(lesion < 0 ? -1 : before + lesion);
      all.scores.insert(all.scores.end(), image.scores.begin(), image.scores.end());
      all.areas.insert(all.areas.end(), image.areas.begin(), image.areas.end());
      lesions.push_back(static_cast<std::int64_t>(image.areas.size()));
    }
  }
  return py::make_tuple(copy(all.scores), copy(all.lesion), copy(all.areas), copy(lesions));
}

py::tuple bind_match_lesions(const py::list& overlaps, double minimum) {
  std::vector<py::array> owners;  // the views borrow
  std::vector<OverlapTable> tables;
  for (const py::handle overlap : overlaps) {
    owners.push_back(as_array(py::reinterpret_borrow<py::object>(overlap), "overlap"));
    if (holds<bool>(owners.back())) {
      tables.emplace_back(view<const std::uint8_t, 2>(owners.back(), "overlap"));
    } else {
      tables.emplace_back(view<const double, 2>(owners.back(), "overlap"));
    }
  }
  LesionMatches matches;
  {
    const py::gil_scoped_release release;
    matches = match_lesions(tables, minimum);
  }
  return py::make_tuple(copy(matches.lesion), copy(matches.reached));
}

}  // namespace

void bind_lesions(py::module_& module) {
  module.def("compare_points", &bind_compare_points, py::arg("points"), py::arg("scores"), py::kw_only(),
             py::arg("counts"), py::arg("outlines"), py::arg("threads"));
  module.def("match_lesions", &bind_match_lesions, py::arg("overlaps"), py::kw_only(), py::arg("minimum"));
}

}  // namespace lcx::bindings

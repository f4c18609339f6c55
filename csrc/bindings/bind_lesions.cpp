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

// Scores, areas, and whether each point lies in each lesion, bool [D, G].
py::tuple bind_compare_points(const py::object& points, const py::object& scores, const py::object& labels) {
  const auto points_view = view<const double, 2>(points, "points");
  const auto scores_view = view<const double, 1>(scores, "scores");
  LesionPoints found;
  const auto compare = [&]<typename Label>(TensorView<const Label, 2> labels_view) {
    const py::gil_scoped_release release;
    found = compare_points(points_view, scores_view, labels_view);
  };
  dispatch<2, std::int32_t, std::uint8_t, std::int64_t, std::uint16_t, std::int16_t, std::uint32_t, std::int8_t,
           std::uint64_t>(as_array(labels, "outlines"), "outlines", compare);
  const auto lesions = static_cast<py::ssize_t>(found.areas.size());
  py::array_t<bool> inside({static_cast<py::ssize_t>(found.scores.size()), lesions});
  std::fill_n(inside.mutable_data(), inside.size(), false);
  for (std::size_t d = 0; d < found.lesion.size(); ++d) {
    if (found.lesion[d] >= 0) inside.mutable_at(static_cast<py::ssize_t>(d), found.lesion[d]) = true;
  }
  return py::make_tuple(copy(found.scores), copy(found.areas), inside);
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
  module.def("compare_points", &bind_compare_points, py::arg("points"), py::arg("scores"), py::arg("outlines"));
  module.def("match_lesions", &bind_match_lesions, py::arg("overlaps"), py::kw_only(), py::arg("minimum"));
}

}  // namespace lcx::bindings

#include <pybind11/stl.h>

#include "bindings/array_view.hpp"
#include "bindings/bindings.hpp"
#include "bindings/call.hpp"
#include "ops/distance_transform/distance_transform.hpp"
#include "ops/pixel_curve/pixel_curve.hpp"
#include "ops/pixel_histogram/pixel_histogram.hpp"

namespace lcx::bindings {
namespace {

void bind_pixel_histogram(const py::object& scores, const py::object& labels, const py::object& counts, int threads,
                          const py::object& stream) {
  Call call(stream);
  const auto scores_view = call.view<const std::uint16_t, 1>(scores, "scores");
  const auto labels_view = call.view<const std::uint8_t, 1>(labels, "labels");
  const auto counts_view = call.view<std::int64_t, 2>(counts, "counts");
  const py::gil_scoped_release release;
  pixel_histogram(scores_view, labels_view, counts_view, threads, call.stream());
}

py::tuple bind_rank_areas(const py::object& scores, const py::object& labels, int threads) {
  const auto scores_view = view<const float, 1>(scores, "scores");
  const auto labels_view = view<const std::uint8_t, 1>(labels, "labels");
  RankAreas areas;
  {
    const py::gil_scoped_release release;
    areas = rank_areas(scores_view, labels_view, threads);
  }
  return py::make_tuple(areas.roc_auc, areas.average_precision);
}

py::tuple bind_count_areas(const py::object& positives, const py::object& negatives) {
  const auto positives_view = view<const std::int64_t, 1>(positives, "positives");
  const auto negatives_view = view<const std::int64_t, 1>(negatives, "negatives");
  const RankAreas areas = count_areas(positives_view, negatives_view);
  return py::make_tuple(areas.roc_auc, areas.average_precision);
}

py::tuple bind_count_scores(const py::object& scores, const py::object& labels, int threads) {
  const auto scores_view = view<const float, 1>(scores, "scores");
  const auto labels_view = view<const std::uint8_t, 1>(labels, "labels");
  ScoreCounts counts;
  {
    const py::gil_scoped_release release;
    counts = count_scores(scores_view, labels_view, threads);
  }
  const auto copy = [](const auto& values) {
    using Value = typename std::decay_t<decltype(values)>::value_type;
    return py::array_t<Value>(static_cast<py::ssize_t>(values.size()), values.data());
  };
  return py::make_tuple(copy(counts.scores), copy(counts.positives), copy(counts.negatives));
}

py::array bind_distance_transform(const py::object& mask, std::array<double, 2> spacing, int threads) {
  const auto mask_view = view<const std::uint8_t, 2>(mask, "mask");
  auto [array, distance] = make_array<float, 2>(mask_view.shape);
  {
    const py::gil_scoped_release release;
    distance_transform(mask_view, spacing, distance, threads);
  }
  return array;
}

}  // namespace

void bind_curves(py::module_& module) {
  module.def("pixel_histogram", &bind_pixel_histogram, py::arg("scores"), py::arg("labels"), py::arg("counts"),
             py::kw_only(), py::arg("threads"), py::arg("stream") = py::none());
  module.def("rank_areas", &bind_rank_areas, py::arg("scores"), py::arg("labels"), py::kw_only(), py::arg("threads"));
  module.def("count_areas", &bind_count_areas, py::arg("positives"), py::arg("negatives"));
  module.def("count_scores", &bind_count_scores, py::arg("scores"), py::arg("labels"), py::kw_only(),
             py::arg("threads"));
  module.def("distance_transform", &bind_distance_transform, py::arg("mask"), py::kw_only(), py::arg("spacing"),
             py::arg("threads"));
}

}  // namespace lcx::bindings

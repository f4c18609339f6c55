#include <pybind11/stl.h>

#include <optional>

#include "bindings/array_view.hpp"
#include "bindings/bindings.hpp"
#include "bindings/call.hpp"
#include "core/tile_grid.hpp"
#include "ops/image_score/image_score.hpp"
#include "ops/percentiles/percentiles.hpp"
#include "ops/resample/resample.hpp"
#include "ops/spread_mask/spread_mask.hpp"

namespace lcx::bindings {
namespace {

py::list bind_resample(const py::object& image, const std::vector<std::array<double, 2>>& scales, int threads,
                       const py::object& stream) {
  Call call(stream);
  const Array pixels = call.array(image, "image");
  py::list results;
  dispatch<2, std::uint8_t, std::uint16_t, std::int16_t, float>(pixels, "image", [&](auto image_view) {
    require_argument(!image_view.empty(), "image is ", shape_text(image_view.shape), "; it must not be empty");
    std::vector<TensorView<float, 2>> averages;
    std::vector<Result<float, 2>> made;
    for (const auto& scale : scales) {
      // Checked again by the operation; here so that no absurd array is asked for.
      require_argument(scale[0] >= 1.0 / 64 && scale[1] >= 1.0 / 64, "scale ", scale[0], ", ", scale[1],
                       "; must be within 1/64 and 4096 image pixels per grid pixel");
      made.push_back(call.make<float, 2>(grid_shape(image_view.shape, scale), false));
      averages.push_back(made.back().view);
    }
    {
      const py::gil_scoped_release release;
      using Pixel = std::remove_const_t<std::remove_pointer_t<decltype(image_view.data)>>;
      resample<Pixel>(image_view, scales, averages, threads, call.stream());
    }
    for (const auto& result : made) results.append(result.get());
  });
  return results;
}

py::array bind_spread_mask(const py::object& mask, std::array<std::int64_t, 2> shape, std::array<double, 2> scale,
                           std::array<std::int64_t, 2> image_shape) {
  const auto mask_view = view<const std::uint8_t, 2>(mask, "mask");
  require_argument(shape[0] >= 0 && shape[1] >= 0, "shape ", shape_text(shape), "; must not be negative");
  auto [array, spread] = make_array<std::uint8_t, 2>(shape);
  {
    const py::gil_scoped_release release;
    spread_mask(mask_view, scale, image_shape, spread);
  }
  return array.attr("view")("bool").cast<py::array>();
}

std::vector<double> bind_percentiles(const py::object& values, const std::vector<double>& ranks, const py::object& mask,
                                     const py::object& stream) {
  Call call(stream);
  const auto values_view = call.view<const float, 2>(values, "values");
  const auto mask_view =
      mask.is_none() ? TensorView<const std::uint8_t, 2>{} : call.view<const std::uint8_t, 2>(mask, "mask");
  const py::gil_scoped_release release;
  return percentiles(values_view, mask_view, ranks, call.stream());
}

double bind_image_score(const py::object& probability, const py::object& mask, double lse_r, double top_fraction,
                        double a1, double a2, double b) {
  const auto probability_view = view<const float, 2>(probability, "probability");
  const auto mask_view = view<const std::uint8_t, 2>(mask, "mask");
  const py::gil_scoped_release release;
  return image_score(probability_view, mask_view, {lse_r, top_fraction, a1, a2, b});
}

}  // namespace

void bind_images(py::module_& module) {
  module.def("resample", &bind_resample, py::arg("image"), py::kw_only(), py::arg("scales"), py::arg("threads"),
             py::arg("stream") = py::none());
  module.def("spread_mask", &bind_spread_mask, py::arg("mask"), py::arg("shape"), py::kw_only(), py::arg("scale"),
             py::arg("image_shape"));
  module.def("percentiles", &bind_percentiles, py::arg("values"), py::arg("ranks"), py::kw_only(), py::arg("mask"),
             py::arg("stream") = py::none());
  module.def("image_score", &bind_image_score, py::arg("probability"), py::arg("mask"), py::kw_only(), py::arg("lse_r"),
             py::arg("top_fraction"), py::arg("a1"), py::arg("a2"), py::arg("b"));
}

}  // namespace lcx::bindings

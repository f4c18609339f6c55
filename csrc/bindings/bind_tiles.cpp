#include <pybind11/stl.h>

#include <optional>

#include "bindings/array_view.hpp"
#include "bindings/bindings.hpp"
#include "ops/blend_tiles/blend_tiles.hpp"
#include "ops/breast_mask/breast_mask.hpp"
#include "ops/extract_tiles/extract_tiles.hpp"

namespace lcx::bindings {
namespace {

TensorView<const std::uint8_t, 2> optional_mask(const py::object& mask) {
  return mask.is_none() ? TensorView<const std::uint8_t, 2>{} : view<const std::uint8_t, 2>(mask, "mask");
}

TileGrid bind_plan_tiles(std::array<std::int64_t, 2> image_shape, std::array<double, 2> scale,
                         std::array<std::int64_t, 2> tile_shape, double overlap, const py::object& mask) {
  return plan_tiles(image_shape, scale, tile_shape, overlap, optional_mask(mask));
}

py::array bind_extract_tiles(const py::object& image, const TileGrid& grid,
                             std::optional<std::array<float, 4>> normalisation, const py::object& mask, int threads) {
  const py::array pixels = as_array(image, "image");
  const auto mask_view = optional_mask(mask);
  std::optional<Normalisation> normalise;
  if (normalisation) {
    const auto& n = *normalisation;
    normalise = Normalisation{n[0], n[1], n[2], n[3]};
  }
  auto [array, tiles] = make_array<float, 4>({grid.tile_count(), 1, grid.tile_shape[0], grid.tile_shape[1]});
  dispatch<2, std::uint8_t, std::uint16_t, std::int16_t, float>(
      pixels, "image", [&, &tiles_view = tiles](auto image_view) {
        const py::gil_scoped_release release;
        extract_tiles(image_view, grid, normalise, mask_view, tiles_view, threads);
      });
  return array;
}

py::array bind_blend_tiles(const py::object& tiles, const TileGrid& grid, const std::string& weights,
                           const py::object& mask, int threads) {
  require_argument(weights == "gaussian" || weights == "constant", "weights '", weights,
                   "'; accepted: gaussian, constant");
  const auto kind = weights == "gaussian" ? TileWeights::kGaussian : TileWeights::kConstant;
  const auto tiles_view = view<const float, 4>(tiles, "tiles");
  require_argument(tiles_view.empty() || tiles_view.shape[3] == 1 || tiles_view.strides[3] == 1,
                   "tiles need dense rows; pass a copy");
  const auto mask_view = optional_mask(mask);
  auto [array, map] = make_array<float, 3>({tiles_view.shape[1], grid.shape[0], grid.shape[1]});
  {
    const py::gil_scoped_release release;
    blend_tiles(tiles_view, grid, kind, mask_view, map, threads);
  }
  return array;
}

py::array bind_breast_mask(const py::object& image) {
  const auto image_view = view<const float, 2>(image, "image");
  auto [array, mask] = make_array<std::uint8_t, 2>(image_view.shape);
  {
    const py::gil_scoped_release release;
    breast_mask(image_view, mask);
  }
  return array.attr("view")("bool").cast<py::array>();
}

}  // namespace

void bind_tiles(py::module_& module) {
  py::class_<TileGrid>(module, "TileGrid", "Where the tiles of one image lie on the model's grid; see plan_tiles.")
      .def_property_readonly(
          "image_shape", [](const TileGrid& g) { return std::pair(g.image_shape[0], g.image_shape[1]); },
          "(H, W) of the image, in its pixels.")
      .def_property_readonly(
          "scale", [](const TileGrid& g) { return std::pair(g.scale[0], g.scale[1]); },
          "Image pixels per grid pixel, along y and x.")
      .def_property_readonly(
          "shape", [](const TileGrid& g) { return std::pair(g.shape[0], g.shape[1]); }, "(H, W) of the grid.")
      .def_property_readonly(
          "tile_shape", [](const TileGrid& g) { return std::pair(g.tile_shape[0], g.tile_shape[1]); },
          "(h, w) of a tile, in grid pixels.")
      .def_property_readonly(
          "origins",
          [](const TileGrid& g) {
            const auto origins = g.origins();
            return table<std::int64_t>(static_cast<std::int64_t>(origins.size()), 2,
                                       [&](std::int64_t i, std::int64_t j) { return origins[i][j]; });
          },
          "int64 [N, 2]: first grid pixel (y, x) of each tile.")
      .def("__len__", &TileGrid::tile_count);
  module.def("plan_tiles", &bind_plan_tiles, py::arg("image_shape"), py::kw_only(), py::arg("scale"),
             py::arg("tile_shape"), py::arg("overlap"), py::arg("mask"));
  module.def("extract_tiles", &bind_extract_tiles, py::arg("image"), py::arg("grid"), py::kw_only(),
             py::arg("normalisation"), py::arg("mask"), py::arg("threads"));
  module.def("blend_tiles", &bind_blend_tiles, py::arg("tiles"), py::arg("grid"), py::kw_only(), py::arg("weights"),
             py::arg("mask"), py::arg("threads"));
  module.def("breast_mask", &bind_breast_mask, py::arg("image"));
}

}  // namespace lcx::bindings

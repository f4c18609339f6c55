#include <pybind11/stl.h>

#include <optional>
#include <sstream>
#include <string>
#include <utility>

#include "bindings/array_view.hpp"
#include "bindings/bindings.hpp"
#include "bindings/call.hpp"
#include "ops/blend_tiles/blend_tiles.hpp"
#include "ops/blend_tiles/device_blender.hpp"
#include "ops/blend_tiles/tile_blender.hpp"
#include "ops/breast_mask/breast_mask.hpp"
#include "ops/extract_tiles/extract_tiles.hpp"

namespace lcx::bindings {

TileWeights weights_of(const std::string& name) {
  require_argument(name == "gaussian" || name == "constant", "weights '", name, "'; accepted: gaussian, constant");
  return name == "gaussian" ? TileWeights::kGaussian : TileWeights::kConstant;
}

namespace {

TensorView<const std::uint8_t, 2> optional_mask(const py::object& mask) {
  return mask.is_none() ? TensorView<const std::uint8_t, 2>{} : view<const std::uint8_t, 2>(mask, "mask");
}

TileGrid bind_plan_tiles(std::array<std::int64_t, 2> image_shape, std::array<double, 2> scale,
                         std::array<std::int64_t, 2> tile_shape, double overlap, const py::object& mask) {
  return plan_tiles(image_shape, scale, tile_shape, overlap, optional_mask(mask));
}

py::array tiles_array(const TileGrid& grid, const py::object& out) {
  py::array array;
  if (out.is_none()) {
    array = make_array<float, 4>({grid.tile_count(), 1, grid.tile_shape[0], grid.tile_shape[1]}).first;
  } else {
    array = as_array(out, "out");
    require_argument(array.writeable(), "out is read-only");
  }
  const auto tiles = view<float, 4>(array, "out");
  require_argument(tiles.empty() || tiles.has_dense_rows(), "out needs dense rows");
  return array;
}

std::optional<Normalisation> normalisation_of(const std::optional<std::array<float, 4>>& values) {
  if (!values) return std::nullopt;
  const auto& n = *values;
  return Normalisation{n[0], n[1], n[2], n[3]};
}

py::object bind_extract_tiles(const py::object& image, const TileGrid& grid,
                              std::optional<std::array<float, 4>> normalisation, const py::object& mask,
                              const py::object& out, int threads, const py::object& stream) {
  Call call(stream);
  const Array pixels = call.array(image, "image");
  const auto mask_view = call.optional_view<const std::uint8_t, 2>(mask, "mask");
  const auto normalise = normalisation_of(normalisation);
  Result<float, 4> result;
  if (out.is_none()) {
    result = call.make<float, 4>({grid.tile_count(), 1, grid.tile_shape[0], grid.tile_shape[1]}, false);
  } else {
    result.view = call.view<float, 4>(out, "out");
    require_argument(result.view.empty() || result.view.has_dense_rows(), "out needs dense rows");
  }
  dispatch<2, std::uint8_t, std::uint16_t, std::int16_t, float>(pixels, "image", [&](auto image_view) {
    const py::gil_scoped_release release;
    extract_tiles(image_view, grid, normalise, mask_view, result.view, threads, call.stream());
  });
  return out.is_none() ? result.get() : out;
}

py::array bind_cut_tiles(const py::object& averages, const TileGrid& grid,
                         std::optional<std::array<float, 4>> normalisation, const py::object& mask,
                         const py::object& out, int threads) {
  const auto averages_view = view<const float, 2>(averages, "averages");
  const auto mask_view = optional_mask(mask);
  const auto normalise = normalisation_of(normalisation);
  const py::array array = tiles_array(grid, out);
  const auto tiles = view<float, 4>(array, "out");
  {
    const py::gil_scoped_release release;
    cut_tiles(averages_view, grid, normalise, mask_view, tiles, threads);
  }
  return array;
}

/// A TileBlender of either device with the map it fills and the mask it clears by. The device is that of `out`, else
/// that of the mask, else the CPU.
class Blender {
 public:
  Blender(const TileGrid& grid, std::int64_t channels, const std::string& weights, const py::object& mask,
          const py::object& out, const py::object& stream)
      : call_(stream), grid_(grid) {
    require_argument(channels >= 1, "channels ", channels, "; at least 1");
    const std::array<std::int64_t, 3> shape{channels, grid.shape[0], grid.shape[1]};
    if (!out.is_none()) {
      map_view_ = call_.view<float, 3>(out, "out");
      require_argument(map_view_.shape == shape, "out is ", shape_text(map_view_.shape),
                       "; needed: ", shape_text(shape));
      require_argument(map_view_.has_dense_rows(), "out must have dense rows");
    }
    mask_view_ = call_.optional_view<const std::uint8_t, 2>(mask, "mask");
    if (out.is_none()) {
      const auto map = call_.make<float, 3>(shape, false);
      map_view_ = map.view;
      map_ = map.get();
    } else {
      map_ = out;
    }
    require_argument(mask_view_.empty() || mask_view_.device == map_view_.device, "map is on ",
                     to_string(map_view_.device), ", mask on ", to_string(mask_view_.device),
                     "; both must be on one device");
    if (map_view_.device.type == DeviceType::kCuda) {
      device_blender_.emplace(grid, weights_of(weights), map_view_, call_.stream());
    } else {
      blender_.emplace(grid, weights_of(weights), map_view_);
      blender_->clear_uncovered(0, grid.shape[0]);
    }
  }

  void add(std::int64_t n, const py::object& tile) {
    require_argument(n == next_ && n < grid_.tile_count(), "tile ", n, "; the next one is ", next_, " of ",
                     grid_.tile_count());
    const Array array = call_.array(tile, "tile");
    const auto tile_view = view<const float, 3>(array, "tile");
    const std::array<std::int64_t, 3> expected{map_view_.shape[0], grid_.tile_shape[0], grid_.tile_shape[1]};
    require_argument(tile_view.shape == expected, "tile is ", shape_text(tile_view.shape),
                     "; needed: ", shape_text(expected));
    require_argument(tile_view.has_dense_rows(), "tile needs dense rows; pass a copy");
    require_argument(tile_view.device == map_view_.device, "tile is on ", to_string(tile_view.device), ", map on ",
                     to_string(map_view_.device), "; both must be on one device: pass out");
    ++next_;
    const py::gil_scoped_release release;
    if (blender_) {
      blender_->add(n, tile_view);
    } else {
      device_blender_->add(n, tile_view);
    }
  }

  py::object finish() {
    require_argument(next_ == grid_.tile_count(), "only ", next_, " of ", grid_.tile_count(), " tiles were added");
    {
      const py::gil_scoped_release release;
      if (blender_) {
        blender_->clear_outside(mask_view_, 0, grid_.shape[0]);
      } else if (!mask_view_.empty()) {
        device_blender_->clear_outside(mask_view_);
      }
    }
    return map_;
  }

 private:
  Call call_;
  TileGrid grid_;
  TensorView<const std::uint8_t, 2> mask_view_;
  py::object map_;
  TensorView<float, 3> map_view_;
  std::optional<cpu::TileBlender> blender_;
  std::optional<cuda::TileBlender> device_blender_;
  std::int64_t next_ = 0;
};

py::object bind_blend_tiles(const py::object& tiles, const TileGrid& grid, const std::string& weights,
                            const py::object& mask, int threads, const py::object& stream) {
  const auto kind = weights_of(weights);
  Call call(stream);
  const auto tiles_view = call.view<const float, 4>(tiles, "tiles");
  require_argument(tiles_view.empty() || tiles_view.has_dense_rows(), "tiles need dense rows; pass a copy");
  const auto mask_view = call.optional_view<const std::uint8_t, 2>(mask, "mask");
  const auto map = call.make<float, 3>({tiles_view.shape[1], grid.shape[0], grid.shape[1]}, false);
  {
    const py::gil_scoped_release release;
    blend_tiles(tiles_view, grid, kind, mask_view, map.view, threads, call.stream());
  }
  return map.get();
}

py::object bind_breast_mask(const py::object& image, const py::object& stream) {
  Call call(stream);
  const auto image_view = call.view<const float, 2>(image, "image");
  const auto mask = call.make<std::uint8_t, 2>(image_view.shape, false, true);
  {
    const py::gil_scoped_release release;
    breast_mask(image_view, mask.view, call.stream());
  }
  return mask.get();
}

/// All that a grid is made of, to be pickled, copied and hashed by.
py::tuple grid_state(const TileGrid& grid) {
  const auto pair = [](const auto& values) { return std::pair(values[0], values[1]); };
  return py::make_tuple(pair(grid.image_shape), pair(grid.scale), pair(grid.tile_shape),
                        py::tuple(py::cast(grid.row_starts)), py::tuple(py::cast(grid.column_starts)),
                        py::bytes(std::string(grid.present.begin(), grid.present.end())));
}

TileGrid grid_from_state(const py::tuple& state) {
  require_argument(state.size() == 6, "a grid of tiles is pickled as 6 values, not ", state.size());
  TileGrid grid;
  grid.image_shape = state[0].cast<std::array<std::int64_t, 2>>();
  grid.scale = state[1].cast<std::array<double, 2>>();
  grid.tile_shape = state[2].cast<std::array<std::int64_t, 2>>();
  grid.row_starts = state[3].cast<std::vector<std::int64_t>>();
  grid.column_starts = state[4].cast<std::vector<std::int64_t>>();
  const auto present = state[5].cast<std::string>();
  grid.present.assign(present.begin(), present.end());
  return restore_tile_grid(std::move(grid));
}

std::string grid_text(const TileGrid& grid) {
  std::ostringstream text;
  text << "<TileGrid " << grid.shape[0] << " x " << grid.shape[1] << " at scale " << grid.scale[0] << " x "
       << grid.scale[1] << ", " << grid.tile_count() << " tiles of " << grid.tile_shape[0] << " x "
       << grid.tile_shape[1] << ">";
  return text.str();
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
      .def("tile", &TileGrid::tile, py::arg("n"), "The grid of tile n alone.")
      .def("__len__", &TileGrid::tile_count)
      .def("__eq__", [](const TileGrid& a,
                        const py::object& b) { return py::isinstance<TileGrid>(b) && a == b.cast<const TileGrid&>(); })
      .def("__hash__", [](const TileGrid& g) { return py::hash(grid_state(g)); })
      .def("__repr__", &grid_text)
      .def(py::pickle(&grid_state, &grid_from_state));
  py::class_<Blender>(module, "TileBlender", "Blends tiles one after another; see lcx_fast.ops.TileBlender.")
      .def(py::init<const TileGrid&, std::int64_t, const std::string&, const py::object&, const py::object&,
                    const py::object&>(),
           py::arg("grid"), py::kw_only(), py::arg("channels"), py::arg("weights"), py::arg("mask"), py::arg("out"),
           py::arg("stream") = py::none())
      .def("add", &Blender::add, py::arg("n"), py::arg("tile"))
      .def("finish", &Blender::finish);
  module.def("plan_tiles", &bind_plan_tiles, py::arg("image_shape"), py::kw_only(), py::arg("scale"),
             py::arg("tile_shape"), py::arg("overlap"), py::arg("mask"));
  module.def("extract_tiles", &bind_extract_tiles, py::arg("image"), py::arg("grid"), py::kw_only(),
             py::arg("normalisation"), py::arg("mask"), py::arg("out"), py::arg("threads"),
             py::arg("stream") = py::none());
  module.def("cut_tiles", &bind_cut_tiles, py::arg("averages"), py::arg("grid"), py::kw_only(),
             py::arg("normalisation"), py::arg("mask"), py::arg("out"), py::arg("threads"));
  module.def("blend_tiles", &bind_blend_tiles, py::arg("tiles"), py::arg("grid"), py::kw_only(), py::arg("weights"),
             py::arg("mask"), py::arg("threads"), py::arg("stream") = py::none());
  module.def("breast_mask", &bind_breast_mask, py::arg("image"), py::kw_only(), py::arg("stream") = py::none());
}

}  // namespace lcx::bindings

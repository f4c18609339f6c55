#include <pybind11/stl.h>

#include <optional>
#include <utility>

#include "bindings/array_view.hpp"
#include "bindings/bindings.hpp"
#include "line/device_line.hpp"
#include "line/tensorrt_network.hpp"

namespace lcx::bindings {
namespace {

using Shape = std::array<std::int64_t, 4>;

/// A Python function that puts a network on a stream: called while a graph is recorded, never while it is replayed.
class CallableNetwork : public DeviceNetwork {
 public:
  CallableNetwork(py::function enqueue, Shape input_shape, Shape output_shape)
      : enqueue_(std::move(enqueue)), input_shape_(input_shape), output_shape_(output_shape) {}
  ~CallableNetwork() override {
    const py::gil_scoped_acquire gil;
    enqueue_ = py::function();
  }

  Shape input_shape() const override { return input_shape_; }
  Shape output_shape() const override { return output_shape_; }
  void enqueue(const float* input, float* output, Stream stream) override {
    const py::gil_scoped_acquire gil;
    enqueue_(reinterpret_cast<std::uintptr_t>(input), reinterpret_cast<std::uintptr_t>(output),
             reinterpret_cast<std::uintptr_t>(stream.handle));
  }
  void forget(Stream) override {}

 private:
  py::function enqueue_;
  Shape input_shape_;
  Shape output_shape_;
};

/// The line with its network, which must not go before it.
class Line {
 public:
  Line(std::unique_ptr<DeviceNetwork> network, int device, const std::string& weights, int threads)
      : network_(std::move(network)),
        line_(*network_, Device{DeviceType::kCuda, device}, weights_of(weights), threads) {}

  py::array average(const py::object& image, std::array<double, 2> coarse_scale, std::array<double, 2> grid_scale) {
    const py::array pixels = as_array(image, "image");
    require_argument(pixels.ndim() == 2, "image has ", pixels.ndim(), " axes; needed: 2");
    for (const double scale : {coarse_scale[0], coarse_scale[1], grid_scale[0], grid_scale[1]}) {
      require_argument(scale >= 1.0 / 64 && scale <= 4096, "scale ", scale, "; accepted: 1/64 to 4096");
    }
    auto [coarse, to] = make_array<float, 2>(grid_shape({pixels.shape(0), pixels.shape(1)}, coarse_scale));
    dispatch<2, std::uint8_t, std::uint16_t, std::int16_t, float>(pixels, "image", [&, to = to](const auto& from) {
      const py::gil_scoped_release release;
      line_.average(from, coarse_scale, grid_scale, to);
    });
    return coarse;
  }

  py::tuple infer(const TileGrid& grid, std::array<float, 4> normalisation, const py::object& mask, float lesion_low,
                  float lesion_high, std::int64_t min_area) {
    const auto [low, high, mean, deviation] = normalisation;
    const py::array breast = as_array(mask, "mask");
    const auto from = view<const std::uint8_t, 2>(breast, "mask");
    auto [maps, to] = make_array<float, 3>({network_->output_shape()[1], grid.shape[0], grid.shape[1]});
    Lesions lesions;
    {
      const py::gil_scoped_release release;
      lesions =
          line_.infer(grid, Normalisation{low, high, mean, deviation}, from, {lesion_low, lesion_high, min_area}, to);
    }
    return py::make_tuple(maps, lesion_table(lesions));
  }

  std::int64_t graphs_recorded() const { return line_.graphs_recorded(); }

 private:
  std::unique_ptr<DeviceNetwork> network_;
  DeviceLine line_;
};

std::unique_ptr<Line> of_engine(TensorRtEngine& engine, const std::string& weights, int threads) {
  return std::make_unique<Line>(std::make_unique<TensorRtNetwork>(engine), engine.device().index, weights, threads);
}

std::unique_ptr<Line> of_callable(py::function enqueue, Shape input_shape, Shape output_shape, int device,
                                  const std::string& weights, int threads) {
  return std::make_unique<Line>(std::make_unique<CallableNetwork>(std::move(enqueue), input_shape, output_shape),
                                device, weights, threads);
}

}  // namespace

void bind_line(py::module_& module) {
  py::class_<Line>(module, "DeviceLine", py::module_local(),
                   "From the pixels of one image to its probability maps on one GPU; one image at a time.")
      .def(py::init(&of_engine), py::arg("engine"), py::kw_only(), py::arg("weights"), py::arg("threads") = 0,
           py::keep_alive<1, 2>())
      .def(py::init(&of_callable), py::arg("enqueue"), py::kw_only(), py::arg("input_shape"), py::arg("output_shape"),
           py::arg("device"), py::arg("weights"), py::arg("threads") = 0)
      .def("average", &Line::average, py::arg("image"), py::kw_only(), py::arg("coarse_scale"), py::arg("grid_scale"),
           "Upload an image and average it onto two grids; float32 [h, w], the coarse one.")
      .def("infer", &Line::infer, py::arg("grid"), py::kw_only(), py::arg("normalisation"), py::arg("mask"),
           py::arg("low"), py::arg("high"), py::arg("min_area"),
           "float32 [C, H, W]: the network's maps of the image last averaged; and find_lesions of the first.")
      .def_property_readonly("graphs_recorded", &Line::graphs_recorded);
}

}  // namespace lcx::bindings

#include <pybind11/stl.h>

#include <optional>
#include <utility>

#include "bindings/array_view.hpp"
#include "bindings/bindings.hpp"
#include "bindings/call.hpp"
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

  py::tuple run(const py::object& image, const FilmSettings& settings) {
    const py::array pixels = as_array(image, "image");
    require_argument(pixels.ndim() == 2, "image has ", pixels.ndim(), " axes; needed: 2");
    for (const auto& scales : {settings.coarse_scale, settings.grid_scale}) {
      for (const double scale : scales) {
        require_argument(scale >= 1.0 / 64 && scale <= 4096, "scale ", scale, "; accepted: 1/64 to 4096");
      }
    }
    const std::array<std::int64_t, 2> shape{pixels.shape(0), pixels.shape(1)};
    // In memory that earlier films left (Note [Kept memory]): fresh pages would take longer than the copy to them.
    const Call call{py::none()};
    const auto mask = call.make<std::uint8_t, 2>(grid_shape(shape, settings.coarse_scale), false, true);
    const auto map_shape = grid_shape(shape, settings.grid_scale);
    const auto maps = call.make<float, 3>({network_->output_shape()[1], map_shape[0], map_shape[1]}, false);
    FilmResult result;
    dispatch<2, std::uint8_t, std::uint16_t, std::int16_t, float>(pixels, "image", [&](const auto& from) {
      const py::gil_scoped_release release;
      result = line_.run(from, settings, mask.view, maps.view);
    });
    const auto window = py::make_tuple(result.normalisation.low, result.normalisation.high);
    return py::make_tuple(result.grid, window, mask.get(), maps.get(), lesion_table(result.lesions));
  }

  const DeviceLine& line() const { return line_; }

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
      .def(
          "run",
          [](Line& line, const py::object& image, std::array<double, 2> coarse_scale, std::array<double, 2> grid_scale,
             double overlap, std::array<double, 2> percentiles, float mean, float deviation, float low, float high,
             std::int64_t min_area) {
            return line.run(image, {coarse_scale, grid_scale, overlap, percentiles[0], percentiles[1], mean, deviation,
                                    LesionOptions{low, high, min_area}});
          },
          py::arg("image"), py::kw_only(), py::arg("coarse_scale"), py::arg("grid_scale"), py::arg("overlap"),
          py::arg("percentiles"), py::arg("mean"), py::arg("deviation"), py::arg("low"), py::arg("high"),
          py::arg("min_area"),
          "The tiles' grid; the window (low, high); bool [h, w], the breast; float32 [C, H, W], the network's maps; "
          "and "
          "find_lesions of the first.")
      .def_property_readonly("graphs_recorded", [](const Line& line) { return line.line().graphs_recorded(); })
      .def_property_readonly(
          "counts_tiles", [](const Line& line) { return line.line().counts_tiles(); },
          "Whether the network runs only for tiles that meet the breast.")
      .def_property_readonly("device_bytes", [](const Line& line) { return line.line().device_bytes(); })
      .def_property_readonly("pinned_bytes", [](const Line& line) { return line.line().pinned_bytes(); });
}

}  // namespace lcx::bindings

#include <pybind11/stl.h>

#include <algorithm>

#include "bindings/array_view.hpp"
#include "bindings/bindings.hpp"
#include "engine/openvino_engine.hpp"
#include "engine/tensorrt_engine.hpp"

namespace lcx::bindings {
namespace {

template <typename T>
T* dense_batch(const py::array& array, const std::vector<std::int64_t>& shape, const char* name) {
  const auto batch = view<T, 4>(array, name);
  const TensorView<T, 4> dense(batch.data, batch.shape);
  require_argument(std::equal(shape.begin(), shape.end(), batch.shape.begin(), batch.shape.end()), name, " is ",
                   shape_text(batch.shape), "; the model's differs");
  require_argument(batch.strides == dense.strides, name, " must be dense; pass a copy");
  return batch.data;
}

void infer(OpenVinoEngine& engine, const py::array& input, const py::array& output) {
  const float* from = dense_batch<const float>(input, engine.input_shape(), "input");
  require_argument(output.writeable(), "output is read-only");
  float* to = dense_batch<float>(output, engine.output_shape(), "output");
  const py::gil_scoped_release release;
  engine.infer(from, to);
}

std::unique_ptr<OpenVinoEngine> make_openvino_engine(const std::string& library_path, const py::bytes& model,
                                                     const std::string& precision, int threads) {
  const auto bytes = static_cast<std::string_view>(model);
  const py::gil_scoped_release release;
  return std::make_unique<OpenVinoEngine>(library_path, bytes, precision, threads);
}

std::unique_ptr<TensorRtEngine> make_tensorrt_engine(const std::string& library_path, const py::bytes& plan,
                                                     int device) {
  const auto bytes = static_cast<std::string_view>(plan);
  const py::gil_scoped_release release;
  return std::make_unique<TensorRtEngine>(library_path, bytes.data(), bytes.size(), Device{DeviceType::kCuda, device});
}

void enqueue(TensorRtEngine& engine, std::uintptr_t input, std::uintptr_t output, std::uintptr_t stream) {
  const py::gil_scoped_release release;
  engine.enqueue(reinterpret_cast<const float*>(input), reinterpret_cast<float*>(output),
                 Stream{reinterpret_cast<void*>(stream)});
}

}  // namespace

void bind_engine(py::module_& module) {
  py::class_<OpenVinoEngine>(module, "OpenVinoEngine", "A model compiled for the CPU by OpenVINO's C API.")
      .def(py::init(&make_openvino_engine), py::kw_only(), py::arg("library_path"), py::arg("model"),
           py::arg("precision"), py::arg("threads"))
      .def_property_readonly("input_shape", &OpenVinoEngine::input_shape)
      .def_property_readonly("output_shape", &OpenVinoEngine::output_shape)
      .def_property_readonly("precision", &OpenVinoEngine::precision)
      .def_property_readonly("version", &OpenVinoEngine::version)
      .def("infer", &infer, py::arg("input"), py::arg("output"));
  py::class_<TensorRtEngine>(module, "TensorRtEngine", py::module_local(),
                             "A TensorRT plan on one GPU. Addresses are of device memory.")
      .def(py::init(&make_tensorrt_engine), py::kw_only(), py::arg("library_path"), py::arg("plan"), py::arg("device"))
      .def_property_readonly("input_shape", &TensorRtEngine::input_shape)
      .def_property_readonly("output_shape", &TensorRtEngine::output_shape)
      .def_property_readonly("version", &TensorRtEngine::version)
      .def("enqueue", &enqueue, py::arg("input"), py::arg("output"), py::arg("stream"))
      .def(
          "forget",
          [](TensorRtEngine& engine, std::uintptr_t stream) { engine.forget(Stream{reinterpret_cast<void*>(stream)}); },
          py::arg("stream"));
  module.attr("tensorrt_major") = tensorrt_major();
}

}  // namespace lcx::bindings

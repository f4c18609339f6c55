// The module and the one translator from lcx::Error to lcx_fast.errors.

#include <pybind11/pybind11.h>

#include "bindings/bindings.hpp"
#include "core/error.hpp"
#include "core/parallel_for.hpp"

namespace py = pybind11;

namespace {

const char* class_name(lcx::ErrorCode code) {
  switch (code) {
    case lcx::ErrorCode::kInvalidArgument:
      return "InvalidArgument";
    case lcx::ErrorCode::kUnsupported:
      return "Unsupported";
    case lcx::ErrorCode::kDevice:
      return "DeviceError";
    case lcx::ErrorCode::kEngine:
      return "EngineError";
  }
  return "LcxError";
}

}  // namespace

PYBIND11_MODULE(_core, module) {
  module.doc() = "The compiled core of lcx_fast.";
  py::register_local_exception_translator([](std::exception_ptr pointer) {
    try {
      if (pointer) std::rethrow_exception(pointer);
    } catch (const lcx::Error& error) {
      const py::object type = py::module_::import("lcx_fast.errors").attr(class_name(error.code()));
      PyErr_SetString(type.ptr(), error.what());
    }
  });
  module.def("available_cpus", &lcx::available_cpus, "CPUs this process may use: affinity and cgroup quota.");
  module.attr("has_cuda") = false;
  lcx::bindings::bind_images(module);
  lcx::bindings::bind_tiles(module);
  lcx::bindings::bind_regions(module);
  lcx::bindings::bind_curves(module);
  lcx::bindings::bind_engine(module);
  lcx::bindings::bind_evaluation(module);
}

// The module and the one translator from lcx::Error to lcx_fast.errors.

#include <pybind11/pybind11.h>

#include <string_view>

#include "bindings/bindings.hpp"
#include "bindings/device_array.hpp"
#include "core/device_memory.hpp"
#include "core/error.hpp"
#include "core/kept_memory.hpp"
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

// The tests build a second module beside _core, with the CUDA twins under the emulation of tests/cuda_on_cpu.
#ifdef LCX_EMULATE_CUDA
#define LCX_MODULE_NAME _core_emulated
#else
#define LCX_MODULE_NAME _core
#endif

PYBIND11_MODULE(LCX_MODULE_NAME, module) {
  module.doc() = "The compiled core of lcx_fast.";
  py::register_local_exception_translator([](std::exception_ptr pointer) {
    try {
      if (pointer) std::rethrow_exception(pointer);
    } catch (const lcx::Error& error) {
      const py::object type = py::module_::import("lcx_fast.errors").attr(class_name(error.code()));
      // What other libraries say of a damaged file may quote bytes of it that are no text.
      const std::string_view what = error.what();
      const auto size = static_cast<py::ssize_t>(what.size());
      const auto text = py::reinterpret_steal<py::object>(PyUnicode_DecodeUTF8(what.data(), size, "replace"));
      PyErr_SetObject(type.ptr(), text.ptr());
    }
  });
  module.def("release_memory", &lcx::release_kept_memory, "Unmaps what is kept for results; see lcx_fast.ops.");
  module.def("available_cpus", &lcx::available_cpus, "CPUs this process may use: affinity and cgroup quota.");
#ifdef LCX_HAS_CUDA
  module.attr("has_cuda") = true;
#else
  module.attr("has_cuda") = false;
#endif
  module.def("cuda_device_count", &lcx::cuda_device_count,
             "CUDA devices this process can use; 0 without a driver, or in a build without CUDA.");
  lcx::bindings::bind_device_array(module);
  lcx::bindings::bind_images(module);
  lcx::bindings::bind_tiles(module);
  lcx::bindings::bind_regions(module);
  lcx::bindings::bind_curves(module);
  lcx::bindings::bind_engine(module);
  lcx::bindings::bind_line(module);
  lcx::bindings::bind_evaluation(module);
#ifdef LCX_EMULATE_CUDA
  lcx::bindings::bind_emulation(module);
#endif
  lcx::bindings::bind_coco(module);
  lcx::bindings::bind_dicom(module);
  lcx::bindings::bind_lesions(module);
}

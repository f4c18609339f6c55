// The emulation for Python tests: device memory, streams, schedules and counters, as `_core_emulated.emulation`.

#include <pybind11/pybind11.h>

#include <cstdint>
#include <string>

#include "bindings/bindings.hpp"
#include "cuda_on_cpu/emulation.hpp"
#include "cuda_on_cpu/memory.hpp"

namespace py = pybind11;

namespace lcx::bindings {
namespace {

using namespace cuda_on_cpu;

void check(cudaError_t error) {
  if (error != cudaSuccess) throw std::runtime_error(cudaGetErrorString(error));
}

void choose(const std::string& kind, std::uint64_t seed) {
  if (kind != "in order" && kind != "reversed" && kind != "random") throw py::value_error("schedule " + kind);
  set_schedule({kind == "in order"   ? ScheduleKind::kInOrder
                : kind == "reversed" ? ScheduleKind::kReversed
                                     : ScheduleKind::kRandom,
                seed});
}

template <typename T>
T* pointer(std::uintptr_t address) {
  return reinterpret_cast<T*>(address);
}

std::uintptr_t create_stream(bool non_blocking) {
  cudaStream_t stream = nullptr;
  check(cudaStreamCreateWithFlags(&stream, non_blocking ? cudaStreamNonBlocking : 0));
  return reinterpret_cast<std::uintptr_t>(stream);
}

/// Makes a device current; CUDA's default streams belong to one.
class Current {
 public:
  explicit Current(int device) {
    check(cudaGetDevice(&before_));
    check(cudaSetDevice(device));
  }
  ~Current() { cudaSetDevice(before_); }

 private:
  int before_ = 0;
};

int device_of(std::uintptr_t data) {
  cudaPointerAttributes attributes{};
  check(cudaPointerGetAttributes(&attributes, pointer<void>(data)));
  return attributes.device;
}

std::uintptr_t allocate(std::size_t bytes, int device) {
  const Current current(device);
  void* data = nullptr;
  check(cudaMalloc(&data, bytes));
  return reinterpret_cast<std::uintptr_t>(data);
}

py::bytes read(std::uintptr_t data, std::size_t bytes) {
  const Current current(device_of(data));
  std::string text(bytes, '\0');
  check(cudaMemcpy(text.data(), pointer<void>(data), bytes, cudaMemcpyDeviceToHost));
  return text;
}

void write(std::uintptr_t data, const py::bytes& bytes, std::uintptr_t stream) {
  const Current current(device_of(data));
  const std::string text = bytes;
  check(cudaMemcpyAsync(pointer<void>(data), text.data(), text.size(), cudaMemcpyHostToDevice,
                        pointer<CudaStream>(stream)));
}

void clear(std::uintptr_t data, std::size_t bytes, std::uintptr_t stream) {
  check(cudaMemsetAsync(pointer<void>(data), 0, bytes, pointer<CudaStream>(stream)));
}

bool is_capturing(std::uintptr_t stream) {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  check(cudaStreamIsCapturing(pointer<CudaStream>(stream), &status));
  return status != cudaStreamCaptureStatusNone;
}

/// For other libraries of the tests, which get its address: puts a function on a stream as a kernel of one thread.
int launch_as_kernel(void* stream, void (*work)(void*), void* argument) {
  enqueue_launch({"launch_as_kernel", dim3(1), dim3(1), 0, [=] { work(argument); }}, static_cast<cudaStream_t>(stream));
  return cudaPeekAtLastError();
}

py::dict count_all() {
  const Counters counts = counters();
  const MemoryUse memory = memory_use();
  py::dict result;
  result["launches"] = counts.launches;
  result["waits"] = counts.waits;
  result["copies"] = counts.copies;
  result["graphs"] = counts.graphs;
  result["allocations"] = memory.allocations;
  result["live"] = memory.live;
  return result;
}

}  // namespace

void bind_emulation(py::module_& module) {
  py::module_ own = module.def_submodule("emulation", "CUDA on the CPU; see tests/cuda_on_cpu/README.md.");
  own.def("set_schedule", &choose, py::arg("kind"), py::arg("seed") = 0);
  own.def("reset", &reset, "Do the work that waits, then forget captures and errors.");
  own.def("forbid_conditional_nodes", &forbid_conditional_nodes, py::arg("forbidden"));
  own.def("counters", &count_all);
  own.def("malloc", &allocate, py::arg("bytes"), py::arg("device") = 0);
  own.def("free", [](std::uintptr_t data) { check(cudaFree(pointer<void>(data))); });
  own.def("read", &read, "Bytes of device memory; waits for the default stream.");
  own.def("write", &write, py::arg("data"), py::arg("bytes"), py::arg("stream") = 0);
  own.def("clear", &clear, py::arg("data"), py::arg("bytes"), py::arg("stream"));
  own.def("is_capturing", &is_capturing, py::arg("stream"));
  own.def("create_stream", &create_stream, py::arg("non_blocking") = true);
  own.def("destroy_stream", [](std::uintptr_t stream) { check(cudaStreamDestroy(pointer<CudaStream>(stream))); });
  own.attr("launch_as_kernel") = reinterpret_cast<std::uintptr_t>(&launch_as_kernel);
  own.def("synchronize", [](std::uintptr_t stream) { check(cudaStreamSynchronize(pointer<CudaStream>(stream))); });
}

}  // namespace lcx::bindings

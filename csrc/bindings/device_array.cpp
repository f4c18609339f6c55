#include "bindings/device_array.hpp"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <utility>

#include "bindings/call.hpp"
#include "bindings/dlpack.hpp"
#include "core/device_memory.hpp"
#include "core/error.hpp"

namespace lcx::bindings {
namespace {

std::size_t item_bytes(const std::string& dtype) { return std::stoul(dtype.substr(2)); }

dlpack::DataType dlpack_type(const std::string& dtype) {
  const char kind = dtype[1];
  const std::uint8_t code = kind == 'i' ? 0 : kind == 'u' ? 1 : kind == 'f' ? 2 : 6;
  return {code, static_cast<std::uint8_t>(8 * item_bytes(dtype)), 1};
}

/// What a DLPack consumer holds on to: the memory, and the arrays that its Tensor points to.
struct Lent {
  std::shared_ptr<void> data;
  std::vector<std::int64_t> shape;
};

/// Memory that goes before the stream in whose order it is given back. A DLPack consumer may let go without the GIL.
struct OnStream {
  OnStream(std::shared_ptr<void> memory, py::object stream) : data(std::move(memory)), owner(std::move(stream)) {}
  ~OnStream() {
    data.reset();
    if (Py_IsInitialized() == 0) {
      owner.release();
      return;
    }
    const py::gil_scoped_acquire gil;
    owner = {};
  }
  OnStream(const OnStream&) = delete;
  OnStream& operator=(const OnStream&) = delete;

  std::shared_ptr<void> data;
  py::object owner;
};

template <typename Record>
void delete_record(Record* record) {
  delete static_cast<Lent*>(record->context);
  delete record;
}

template <typename Record>
void destroy_unused(PyObject* capsule, const char* name) {
  // A consumer renames the capsule and calls the deleter itself.
  if (!PyCapsule_IsValid(capsule, name)) return;
  auto* record = static_cast<Record*>(PyCapsule_GetPointer(capsule, name));
  record->deleter(record);
}

}  // namespace

DeviceArray::DeviceArray(std::vector<std::int64_t> shape, std::string dtype, Device device, Stream stream,
                         const py::object& stream_owner)
    : shape_(std::move(shape)), dtype_(std::move(dtype)), device_(device), stream_(stream) {
  data_ = allocate_device(bytes(), device, stream);
  if (!stream_owner) return;
  void* const data = data_.get();
  data_ = {std::make_shared<OnStream>(std::move(data_), stream_owner), data};
}

std::size_t DeviceArray::bytes() const {
  std::size_t count = item_bytes(dtype_);
  for (const auto extent : shape_) count *= static_cast<std::size_t>(extent);
  return count;
}

py::dict DeviceArray::cuda_array_interface() const {
  py::dict result;
  result["shape"] = py::tuple(py::cast(shape_));
  result["typestr"] = dtype_;
  result["data"] = py::make_tuple(reinterpret_cast<std::uintptr_t>(bytes() ? data() : nullptr), false);
  result["strides"] = py::none();
  // The protocol has no 0: 1 is the legacy default stream.
  const auto handle = reinterpret_cast<std::uintptr_t>(stream_.handle);
  result["stream"] = handle == 0 ? 1 : handle;
  result["version"] = 3;
  return result;
}

py::capsule DeviceArray::dlpack(const py::object& stream, const py::object& max_version) const {
  // The consumer's stream waits for ours: the legacy default one if it names none. -1: the consumer does not want that.
  const std::int64_t handle = stream.is_none() ? 1 : stream.cast<std::int64_t>();
  if (handle != -1) order_after(stream_of_handle(static_cast<std::uintptr_t>(handle)), stream_, device_);
  auto* lent = new Lent{data_, shape_};
  const dlpack::Tensor tensor{data(),
                              {dlpack::kCuda, device_.index},
                              static_cast<std::int32_t>(shape_.size()),
                              dlpack_type(dtype_),
                              lent->shape.data(),
                              nullptr,
                              0};
  const bool versioned = !max_version.is_none() && max_version.cast<std::pair<int, int>>().first >= 1;
  if (versioned) {
    auto* record = new dlpack::ManagedVersioned{{1, 0}, lent, delete_record<dlpack::ManagedVersioned>, 0, tensor};
    return py::reinterpret_steal<py::capsule>(PyCapsule_New(record, "dltensor_versioned", [](PyObject* capsule) {
      destroy_unused<dlpack::ManagedVersioned>(capsule, "dltensor_versioned");
    }));
  }
  auto* record = new dlpack::Managed{tensor, lent, delete_record<dlpack::Managed>};
  return py::reinterpret_steal<py::capsule>(PyCapsule_New(
      record, "dltensor", [](PyObject* capsule) { destroy_unused<dlpack::Managed>(capsule, "dltensor"); }));
}

py::object DeviceArray::to_host() const {
  py::array array(py::dtype(dtype_), shape_);
  void* to = array.mutable_data();
  if (bytes() > 0) {
    const py::gil_scoped_release release;
    copy_to_host(to, data(), bytes(), device_, stream_);
  }
  return array;
}

py::object as_result(const std::shared_ptr<DeviceArray>& array) {
  const py::object own = py::cast(array);
  py::object cupy;
  try {
    cupy = py::module_::import("cupy");
  } catch (const py::error_already_set&) {
    return own;
  }
  // Not by the array interface: CuPy would make the host wait for the stream that it names.
  const py::object cuda = cupy.attr("cuda");
  const py::object memory = cuda.attr("UnownedMemory")(reinterpret_cast<std::uintptr_t>(array->data()), array->bytes(),
                                                       own, array->device().index);
  return cupy.attr("ndarray")(py::tuple(py::cast(array->shape())), py::dtype(array->dtype()),
                              cuda.attr("MemoryPointer")(memory, 0));
}

void bind_device_array(py::module_& module) {
  py::class_<DeviceArray, std::shared_ptr<DeviceArray>>(module, "DeviceArray",
                                                        "A result in GPU memory, where CuPy is not installed; any "
                                                        "CuPy, Torch or DLPack consumer takes it without a copy.")
      .def_property_readonly(
          "shape", [](const DeviceArray& a) { return py::tuple(py::cast(a.shape())); }, "The extent of each axis.")
      .def_property_readonly(
          "dtype", [](const DeviceArray& a) { return py::dtype(a.dtype()); }, "NumPy's name of the type.")
      .def_property_readonly("__cuda_array_interface__", &DeviceArray::cuda_array_interface)
      .def("__dlpack_device__", [](const DeviceArray& a) { return py::make_tuple(dlpack::kCuda, a.device().index); })
      .def(
          "__dlpack__",
          [](const DeviceArray& a, const py::object& stream, const py::object& max_version, const py::object&,
             const py::object& copy) {
            require_argument(copy.is_none() || !copy.cast<bool>(), "copy=True is not offered; copy the result");
            return a.dlpack(stream, max_version);
          },
          py::kw_only(), py::arg("stream") = py::none(), py::arg("max_version") = py::none(),
          py::arg("dl_device") = py::none(), py::arg("copy") = py::none())
      .def("to_host", &DeviceArray::to_host, "A NumPy copy; waits for the stream that makes the array.");
}

}  // namespace lcx::bindings

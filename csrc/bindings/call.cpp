#include "bindings/call.hpp"

#include <pybind11/stl.h>

#include <cstring>
#include <memory>
#include <optional>
#include <utility>

#include "bindings/dlpack.hpp"

namespace lcx::bindings {
namespace {

#ifdef LCX_HAS_CUDA
constexpr bool kHasCuda = true;
#else
constexpr bool kHasCuda = false;
#endif

/// The stream that `stream=` names; nothing for None.
std::optional<Stream> named_stream(const py::object& stream) {
  if (stream.is_none()) return std::nullopt;
  py::object handle = stream;
  for (const char* attribute : {"ptr", "cuda_stream"}) {
    if (py::hasattr(stream, attribute)) handle = stream.attr(attribute);
  }
  require_argument(py::isinstance<py::int_>(handle), "stream is a ",
                   py::str(py::type::of(stream).attr("__name__")).cast<std::string>(),
                   "; accepted: a handle, or an object with .ptr or .cuda_stream");
  const std::uintptr_t value = PyLong_AsSize_t(handle.ptr());
  if (PyErr_Occurred() != nullptr) {
    PyErr_Clear();
    throw Error(ErrorCode::kInvalidArgument, "stream " + py::str(handle).cast<std::string>() + " is no handle");
  }
  return stream_of_handle(value);
}

/// Whether an object's type is one of a Python package's.
bool is_of_package(const py::object& object, const std::string& package) {
  const auto module = py::str(py::type::of(object).attr("__module__")).cast<std::string>();
  return module == package || module.rfind(package + ".", 0) == 0;
}

/// The stream that an array's library would use now. Torch names none in its interface, and its streams do not wait for
/// the default one.
std::optional<Stream> library_stream(const py::object& object, int device) {
  if (!is_of_package(object, "torch")) return std::nullopt;
  const py::object torch = py::module_::import("sys").attr("modules")["torch"];
  return named_stream(torch.attr("cuda").attr("current_stream")(device));
}

/// What keeps the stream alive that an array's interface names: CuPy's streams end with their last user. Torch's stay.
py::object owner_of_stream(const py::object& object, Stream stream) {
  constexpr std::uintptr_t kLastDefault = 2;  // CUDA's own streams, which have no end
  if (reinterpret_cast<std::uintptr_t>(stream.handle) <= kLastDefault) return {};
  if (!is_of_package(object, "cupy")) return {};
  const py::object current = py::module_::import("cupy").attr("cuda").attr("get_current_stream")();
  const bool is_it = current.attr("ptr").cast<std::uintptr_t>() == reinterpret_cast<std::uintptr_t>(stream.handle);
  return is_it ? current : py::object();
}

void require_cuda(const char* name) {
  require(kHasCuda, ErrorCode::kUnsupported, name,
          " is in GPU memory; this build has no CUDA: pass an array in the CPU's memory");
}

std::vector<std::int64_t> dense_strides(const std::vector<std::int64_t>& shape, std::int64_t item) {
  std::vector<std::int64_t> strides(shape.size());
  for (std::size_t axis = shape.size(); axis-- > 0;) {
    strides[axis] = item;
    item *= shape[axis];
  }
  return strides;
}

int device_of_pointer(const void* data, const char* name) {
  const int device = device_index_of(data);
  require_argument(device >= 0, name, " says it is in GPU memory, but its address is not");
  return device;
}

std::string dtype_of(dlpack::DataType type) {
  const std::string kinds = "iuf??fb";  // by DLPack's code
  const char kind = type.code < kinds.size() && type.lanes == 1 ? kinds[type.code] : '?';
  const std::string code = kind == 'b' ? "b1" : std::string(1, kind) + std::to_string(type.bits / 8);
  return (type.bits <= 8 ? "|" : "<") + code;
}

/// "<f4" and its like. NumPy makes its own as text each time, which is worth avoiding for the types that are common.
std::string dtype_of(const py::dtype& type) {
  if (type.byteorder() == '=' || type.byteorder() == '|') {
    if (std::strchr("biuf", type.kind()) != nullptr) {
      return std::string(type.byteorder() == '|' ? "|" : "<") + type.kind() + std::to_string(type.itemsize());
    }
  }
  return py::str(type.attr("str")).cast<std::string>();
}

/// Gives a DLPack record back to its producer.
template <typename Record>
py::capsule keep_record(Record* record) {
  return py::capsule(record, [](void* pointer) {
    auto* held = static_cast<Record*>(pointer);
    if (held->deleter != nullptr) held->deleter(held);
  });
}

}  // namespace

std::string readable(const std::string& dtype) {
  if (dtype.size() < 3) return dtype;
  const std::string bits = std::to_string(8 * std::stoul(dtype.substr(2)));
  switch (dtype[1]) {
    case 'f':
      return "float" + bits;
    case 'i':
      return "int" + bits;
    case 'u':
      return "uint" + bits;
    case 'b':
      return "bool";
    default:
      return dtype;
  }
}

py::array kept_array(KeptMemory memory, const std::vector<py::ssize_t>& shape, const std::string& dtype) {
  auto owner = std::make_unique<KeptMemory>(std::move(memory));
  void* data = owner->data();
  const py::capsule keeper(owner.get(), [](void* kept) { delete static_cast<KeptMemory*>(kept); });
  owner.release();
  return py::array(py::dtype(dtype), shape, {}, data, keeper);
}

Call::Call(const py::object& stream) {
  if (const auto named = named_stream(stream)) {
    has_stream_ = true;
    stream_ = *named;
    if (!py::isinstance<py::int_>(stream)) stream_owner_ = stream;
  }
}

Array Call::array(const py::object& object, const char* name) {
  Array result;
  if (py::isinstance<py::array>(object)) {
    result = numpy_array(object, name);
  } else if (py::hasattr(object, "__cuda_array_interface__")) {
    require_cuda(name);
    result = interface_array(object, name);
  } else if (py::hasattr(object, "__dlpack__") &&
             object.attr("__dlpack_device__")().cast<std::pair<int, int>>().first == dlpack::kCuda) {
    require_cuda(name);
    result = dlpack_array(object, name);
  } else {
    result = numpy_array(as_array(object, name), name);
  }
  if (!has_device_) device_ = result.device;
  has_device_ = true;
  return result;
}

Array Call::numpy_array(const py::object& object, const char*) const {
  const auto array = py::reinterpret_borrow<py::array>(object);
  Array result;
  result.owner = object;
  result.data = const_cast<void*>(array.data());
  for (py::ssize_t axis = 0; axis < array.ndim(); ++axis) {
    result.shape.push_back(array.shape(axis));
    result.strides.push_back(array.strides(axis));
  }
  result.dtype = dtype_of(array.dtype());
  result.writeable = array.writeable();
  return result;
}

// The stream of the call, and its order after the producer's.
void Call::meet(const py::object& object, Array& array, const py::object& producer) {
  const std::optional<Stream> from =
      producer.is_none() ? library_stream(object, array.device.index) : named_stream(producer);
  if (!has_stream_) {
    stream_ = from.value_or(Stream{});
    stream_owner_ = owner_of_stream(object, stream_);
    has_stream_ = true;
  }
  if (from) order_after(stream_, *from, array.device);
}

Array Call::interface_array(const py::object& object, const char* name) {
  const py::dict about = object.attr("__cuda_array_interface__");
  for (const char* key : {"shape", "typestr", "data"}) {
    require_argument(about.contains(key), name, " has a __cuda_array_interface__ without ", key);
  }
  require_argument(!about.contains("mask") || about["mask"].is_none(), name, " is a masked array; pass plain ones");
  Array result;
  result.owner = object;
  const auto [data, read_only] = about["data"].cast<std::pair<std::uintptr_t, bool>>();
  result.data = reinterpret_cast<void*>(data);
  result.writeable = !read_only;
  result.shape = about["shape"].cast<std::vector<std::int64_t>>();
  result.dtype = about["typestr"].cast<std::string>();
  require_argument(result.dtype.size() >= 3, name, " is ", result.dtype, "; a plain dtype is needed");
  const auto item = static_cast<std::int64_t>(std::stoul(result.dtype.substr(2)));
  result.strides = about.contains("strides") && !about["strides"].is_none()
                       ? about["strides"].cast<std::vector<std::int64_t>>()
                       : dense_strides(result.shape, item);
  result.device = {DeviceType::kCuda, data != 0 ? device_of_pointer(result.data, name) : device_.index};
  meet(object, result, about.contains("stream") ? py::object(about["stream"]) : py::object(py::none()));
  return result;
}

Array Call::dlpack_array(const py::object& object, const char* name) {
  Array result;
  result.device = {DeviceType::kCuda, object.attr("__dlpack_device__")().cast<std::pair<int, int>>().second};
  meet(object, result, py::none());
  // The producer makes this stream wait for its own work.
  const auto handle = reinterpret_cast<std::uintptr_t>(stream_.handle);
  const py::int_ stream(handle == 0 ? 1 : handle);
  py::object capsule;
  try {
    capsule = object.attr("__dlpack__")(py::arg("stream") = stream, py::arg("max_version") = py::make_tuple(1, 0));
  } catch (py::error_already_set& error) {
    if (!error.matches(PyExc_TypeError)) throw;
    capsule = object.attr("__dlpack__")(py::arg("stream") = stream);
  }
  const dlpack::Tensor* tensor = nullptr;
  if (PyCapsule_IsValid(capsule.ptr(), "dltensor_versioned")) {
    auto* record = static_cast<dlpack::ManagedVersioned*>(PyCapsule_GetPointer(capsule.ptr(), "dltensor_versioned"));
    require(record->version.major == 1, ErrorCode::kUnsupported, name, " speaks DLPack ", record->version.major,
            "; accepted: 0 and 1");
    PyCapsule_SetName(capsule.ptr(), "used_dltensor_versioned");
    result.owner = keep_record(record);
    result.writeable = (record->flags & dlpack::kReadOnly) == 0;
    tensor = &record->tensor;
  } else {
    require_argument(PyCapsule_IsValid(capsule.ptr(), "dltensor"), name, " gave no DLPack capsule");
    auto* record = static_cast<dlpack::Managed*>(PyCapsule_GetPointer(capsule.ptr(), "dltensor"));
    PyCapsule_SetName(capsule.ptr(), "used_dltensor");
    result.owner = keep_record(record);
    tensor = &record->tensor;
  }
  result.data = static_cast<char*>(tensor->data) + tensor->byte_offset;
  result.dtype = dtype_of(tensor->dtype);
  const std::int64_t item = tensor->dtype.bits / 8;
  result.shape.assign(tensor->shape, tensor->shape + tensor->rank);
  result.strides = dense_strides(result.shape, item);
  for (std::int32_t axis = 0; tensor->strides != nullptr && axis < tensor->rank; ++axis) {
    result.strides[static_cast<std::size_t>(axis)] = tensor->strides[axis] * item;
  }
  return result;
}

}  // namespace lcx::bindings

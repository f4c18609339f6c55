#pragma once

// One call of an operation that runs where its arrays are: which device, which stream, and results beside the inputs.

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "bindings/array_view.hpp"
#include "bindings/device_array.hpp"
#include "core/device_memory.hpp"
#include "core/error.hpp"
#include "core/kept_memory.hpp"
#include "core/tensor_view.hpp"

namespace lcx::bindings {

/// An array somebody passed: NumPy, CuPy, Torch, or whatever speaks DLPack or `__cuda_array_interface__`. No copy.
struct Array {
  py::object owner;  ///< keeps the memory alive
  void* data = nullptr;
  std::vector<std::int64_t> shape;
  std::vector<std::int64_t> strides;  ///< in bytes
  std::string dtype;                  ///< as in NumPy's array interface, "<f4"
  Device device{};
  bool writeable = true;
};

/// "<f4" and its like, of a C++ type.
template <typename T>
std::string dtype_name() {
  using Value = std::remove_const_t<T>;
  if (std::is_same_v<Value, bool>) return "|b1";
  const char kind = std::is_floating_point_v<Value> ? 'f' : std::is_signed_v<Value> ? 'i' : 'u';
  return std::string(sizeof(Value) == 1 ? "|" : "<") + kind + std::to_string(sizeof(Value));
}

/// NumPy's name of a dtype, "float32", for messages.
std::string readable(const std::string& dtype);

template <typename T>
bool holds(const Array& array) {
  return array.dtype == dtype_name<T>() ||
         (std::is_same_v<std::remove_const_t<T>, std::uint8_t> && array.dtype == "|b1");
}

/// A view of an array of exactly this dtype and rank. bool arrays count as uint8. A view of non-const elements needs a
/// writeable array.
template <typename T, std::size_t Rank>
TensorView<T, Rank> view(const Array& array, const char* name) {
  using Value = std::remove_const_t<T>;
  constexpr auto kItem = static_cast<std::int64_t>(sizeof(Value));
  if (!holds<T>(array)) {  // not `require`, which would make the texts each time
    throw Error(ErrorCode::kInvalidArgument,
                std::string(name) + " is " + readable(array.dtype) + "; needed: " + readable(dtype_name<T>()));
  }
  require_argument(array.shape.size() == Rank, name, " has ", array.shape.size(), " axes; needed: ", Rank);
  require_argument(std::is_const_v<T> || array.writeable, name, " is read-only");
  require_argument(reinterpret_cast<std::uintptr_t>(array.data) % alignof(Value) == 0, name,
                   " is not aligned; pass a copy");
  TensorView<T, Rank> result;
  result.data = static_cast<T*>(array.data);
  result.device = array.device;
  for (std::size_t axis = 0; axis < Rank; ++axis) {
    result.shape[axis] = array.shape[axis];
    require_argument(array.strides[axis] % kItem == 0 || array.shape[axis] <= 1, name,
                     " has strides that are no multiple of its item size; pass a copy");
    result.strides[axis] = array.strides[axis] / kItem;
  }
  return result;
}

/// A new array and the view that fills it.
template <typename T, std::size_t Rank>
struct Result {
  TensorView<T, Rank> view;
  py::object numpy;                     ///< on the CPU
  std::shared_ptr<DeviceArray> device;  ///< on a GPU

  /// What the caller gets: NumPy, or CuPy where it can be imported, or a DeviceArray.
  py::object get() const { return device ? as_result(device) : numpy; }
};

template <typename T, std::size_t Rank>
std::size_t dense_bytes(const std::array<std::int64_t, Rank>& shape) {
  std::size_t bytes = sizeof(T);
  for (const std::int64_t extent : shape) bytes *= static_cast<std::size_t>(extent);
  return bytes;
}

/// A dense NumPy array that owns this memory (Note [Kept memory]).
py::array kept_array(KeptMemory memory, const std::vector<py::ssize_t>& shape, const std::string& dtype);

class Call {
 public:
  /// stream  a handle, an object with `.ptr` (CuPy) or `.cuda_stream` (Torch), or None: that of the first array on a
  ///         GPU, as its interface or its library says, else CUDA's default one
  explicit Call(const py::object& stream);

  /// The device of the call is that of its first array; later ones are checked by the operation. Work that comes later
  /// on the call's stream waits for the stream that the array comes from.
  Array array(const py::object& object, const char* name);

  template <typename T, std::size_t Rank>
  TensorView<T, Rank> view(const py::object& object, const char* name) {
    kept_.push_back(array(object, name));
    return bindings::view<T, Rank>(kept_.back(), name);
  }

  template <typename T, std::size_t Rank>
  TensorView<T, Rank> optional_view(const py::object& object, const char* name) {
    return object.is_none() ? TensorView<T, Rank>{} : view<T, Rank>(object, name);
  }

  /// A new dense array beside the call's arrays. `flags` makes it bool for Python and uint8 here.
  template <typename T, std::size_t Rank>
  Result<T, Rank> make(const std::array<std::int64_t, Rank>& shape, bool zeroed, bool flags = false) const {
    const std::string dtype = flags ? "|b1" : dtype_name<T>();
    Result<T, Rank> result;
    if (device_.type == DeviceType::kCuda) {
      result.device = std::make_shared<DeviceArray>(std::vector<std::int64_t>(shape.begin(), shape.end()), dtype,
                                                    device_, stream_, stream_owner_);
      if (zeroed && result.device->bytes() > 0) {
        clear_device(result.device->data(), result.device->bytes(), device_, stream_);
      }
      result.view = {static_cast<T*>(result.device->data()), shape, device_};
      return result;
    }
    if (const std::size_t bytes = dense_bytes<T>(shape); bytes >= kLeastKept) {
      KeptMemory memory(bytes);
      if (zeroed && !memory.is_zero()) {
        const py::gil_scoped_release release;
        std::memset(memory.data(), 0, bytes);
      }
      result.view = {static_cast<T*>(memory.data()), shape};
      result.numpy = kept_array(std::move(memory), std::vector<py::ssize_t>(shape.begin(), shape.end()), dtype);
      return result;
    }
    const py::module_ numpy = py::module_::import("numpy");
    result.numpy = numpy.attr(zeroed ? "zeros" : "empty")(py::tuple(py::cast(shape)), py::dtype(dtype));
    result.view = {static_cast<T*>(py::reinterpret_borrow<py::array>(result.numpy).mutable_data()), shape};
    return result;
  }

  Device device() const { return device_; }
  Stream stream() const { return stream_; }

 private:
  Array numpy_array(const py::object& object, const char* name) const;
  Array interface_array(const py::object& object, const char* name);
  Array dlpack_array(const py::object& object, const char* name);
  void meet(const py::object& object, Array& array, const py::object& producer);

  bool has_device_ = false;
  bool has_stream_ = false;
  Device device_{};
  Stream stream_{};
  py::object stream_owner_;
  std::vector<Array> kept_;
};

/// Calls visit(view) with the view of the first listed dtype that the array has.
template <std::size_t Rank, typename... Types, typename Visit>
void dispatch(const Array& array, const char* name, const Visit& visit) {
  const bool known = ((holds<Types>(array) && (visit(view<const Types, Rank>(array, name)), true)) || ...);
  if (known) return;
  std::string accepted;
  ((accepted += (accepted.empty() ? "" : ", ") + readable(dtype_name<Types>())), ...);
  throw Error(ErrorCode::kInvalidArgument,
              std::string(name) + " is " + readable(array.dtype) + "; accepted: " + accepted);
}

}  // namespace lcx::bindings

#pragma once

// Python arrays to TensorView and back. NumPy arrays, and anything on the CPU that speaks DLPack, are taken
// without a copy; an array of another dtype is refused, never converted behind the caller's back.

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <array>
#include <string>

#include "core/error.hpp"
#include "core/tensor_view.hpp"

namespace lcx::bindings {

namespace py = pybind11;

/// A NumPy view of `object`, sharing its memory. Throws Error for device memory and for what is no array.
inline py::array as_array(const py::object& object, const char* name) {
  if (py::isinstance<py::array>(object)) return py::reinterpret_borrow<py::array>(object);
  require(!py::hasattr(object, "__cuda_array_interface__"), ErrorCode::kUnsupported, name,
          " is in GPU memory; this build has no CUDA: pass an array in the CPU's memory");
  if (py::hasattr(object, "__dlpack__")) {
    constexpr int kDlCpu = 1;
    const auto device = object.attr("__dlpack_device__")().cast<std::pair<int, int>>();
    require(device.first == kDlCpu, ErrorCode::kUnsupported, name, " is on DLPack device type ", device.first,
            "; this build takes the CPU only (1)");
    return py::module_::import("numpy").attr("from_dlpack")(object).cast<py::array>();
  }
  const auto type = py::str(py::type::of(object).attr("__name__")).cast<std::string>();
  throw Error(ErrorCode::kInvalidArgument, std::string(name) + " is a " + type + "; an array is needed");
}

inline std::string dtype_text(const py::array& array) { return py::str(array.dtype()).cast<std::string>(); }

template <typename T>
bool holds(const py::array& array) {
  using Value = std::remove_const_t<T>;
  const py::dtype given = array.dtype();
  const py::dtype needed = py::dtype::of<Value>();
  return given.is(needed) || given.equal(needed);  // as a rule there is one object for a type
}

/// A view of an array of exactly this dtype and rank. bool arrays count as uint8.
template <typename T, std::size_t Rank>
TensorView<T, Rank> view(const py::array& array, const char* name) {
  using Value = std::remove_const_t<T>;
  const bool is_flag = std::is_same_v<Value, std::uint8_t> && holds<bool>(array);
  if (!is_flag && !holds<T>(array)) {  // not `require`, which would make the texts each time
    throw Error(ErrorCode::kInvalidArgument, std::string(name) + " is " + dtype_text(array) + "; needed: " +
                                                 py::str(py::dtype::of<Value>()).template cast<std::string>());
  }
  require_argument(array.ndim() == static_cast<py::ssize_t>(Rank), name, " has ", array.ndim(),
                   " axes; needed: ", Rank);
  std::array<std::int64_t, Rank> shape{};
  std::array<std::int64_t, Rank> strides{};
  for (std::size_t axis = 0; axis < Rank; ++axis) {
    const auto index = static_cast<py::ssize_t>(axis);
    shape[axis] = array.shape(index);
    const auto item = static_cast<py::ssize_t>(sizeof(Value));
    require_argument(array.strides(index) % item == 0 || shape[axis] <= 1, name,
                     " has strides that are no multiple of its item size; pass a copy");
    strides[axis] = array.strides(index) / item;
  }
  void* data = const_cast<void*>(array.data());
  require_argument(reinterpret_cast<std::uintptr_t>(data) % alignof(Value) == 0, name, " is not aligned; pass a copy");
  return TensorView<T, Rank>(static_cast<T*>(data), shape, strides, Device{});
}

template <typename T, std::size_t Rank>
TensorView<T, Rank> view(const py::object& object, const char* name) {
  return view<T, Rank>(as_array(object, name), name);
}

/// A new dense array and the view that fills it.
template <typename T, std::size_t Rank>
std::pair<py::array_t<T>, TensorView<T, Rank>> make_array(const std::array<std::int64_t, Rank>& shape) {
  py::array_t<T> array(py::array::ShapeContainer(shape.begin(), shape.end()));
  return {array, TensorView<T, Rank>(array.mutable_data(), shape)};
}

/// A new dense array of zeros: for large ones, fresh pages that cost nothing until they are written.
template <typename T, std::size_t Rank>
std::pair<py::array_t<T>, TensorView<T, Rank>> make_zeros(const std::array<std::int64_t, Rank>& shape) {
  const py::tuple extents = py::cast(shape);
  py::array_t<T> array = py::module_::import("numpy").attr("zeros")(extents, py::dtype::of<T>());
  return {array, TensorView<T, Rank>(array.mutable_data(), shape)};
}

/// A copy of `count` rows of `columns` values each.
template <typename T, typename Get>
py::array_t<T> table(std::int64_t count, std::int64_t columns, const Get& get) {
  py::array_t<T> array({count, columns});
  auto cells = array.template mutable_unchecked<2>();
  for (std::int64_t i = 0; i < count; ++i) {
    for (std::int64_t j = 0; j < columns; ++j) cells(i, j) = get(i, j);
  }
  return array;
}

/// Calls visit(view) with the view of the first listed dtype that the array has.
template <std::size_t Rank, typename... Types, typename Visit>
void dispatch(const py::array& array, const char* name, const Visit& visit) {
  const bool known = ((holds<Types>(array) && (visit(view<const Types, Rank>(array, name)), true)) || ...);
  if (known) return;
  std::string accepted;
  ((accepted += (accepted.empty() ? "" : ", ") + py::str(py::dtype::of<Types>()).template cast<std::string>()), ...);
  throw Error(ErrorCode::kInvalidArgument, std::string(name) + " is " + dtype_text(array) + "; accepted: " + accepted);
}

}  // namespace lcx::bindings

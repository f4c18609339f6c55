#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/device.hpp"

namespace lcx::bindings {

namespace py = pybind11;

/// The stream of a handle as the interfaces have them, in which 1 is the legacy default stream: here the null stream.
inline Stream stream_of_handle(std::uintptr_t handle) { return {reinterpret_cast<void*>(handle == 1 ? 0 : handle)}; }

/// A result in GPU memory for callers without CuPy: owns it, and lends it by `__cuda_array_interface__` and DLPack.
class DeviceArray {
 public:
  /// dtype         as in NumPy's array interface, "<f4"
  /// stream_owner  what keeps the stream alive, if anything does: the memory is given back in the stream's order, often
  ///               when nobody else needs the stream any more
  DeviceArray(std::vector<std::int64_t> shape, std::string dtype, Device device, Stream stream,
              const py::object& stream_owner);

  void* data() const { return data_.get(); }
  std::size_t bytes() const;
  Device device() const { return device_; }
  Stream stream() const { return stream_; }
  const std::vector<std::int64_t>& shape() const { return shape_; }
  const std::string& dtype() const { return dtype_; }

  py::dict cuda_array_interface() const;
  py::capsule dlpack(const py::object& stream, const py::object& max_version) const;
  py::object to_host() const;

 private:
  std::vector<std::int64_t> shape_;
  std::string dtype_;
  Device device_;
  Stream stream_;
  std::shared_ptr<void> data_;
};

/// A CuPy array of the same memory where CuPy can be imported, else `array` itself.
py::object as_result(const std::shared_ptr<DeviceArray>& array);

void bind_device_array(py::module_& module);

}  // namespace lcx::bindings

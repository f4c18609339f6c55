#pragma once

// The memory layout of DLPack's structures, versions 0 and 1, by their public specification
// (https://dmlc.github.io/dlpack/latest/c_api.html).

#include <cstdint>

namespace lcx::bindings::dlpack {

inline constexpr std::int32_t kCpu = 1;
inline constexpr std::int32_t kCuda = 2;
inline constexpr std::int32_t kCudaHost = 3;
inline constexpr std::int32_t kCudaManaged = 13;
inline constexpr std::uint64_t kReadOnly = 1;

struct DeviceRecord {
  std::int32_t type;
  std::int32_t index;
};

struct DataType {
  std::uint8_t code;  ///< 0 int, 1 unsigned, 2 float, 6 bool
  std::uint8_t bits;
  std::uint16_t lanes;
};

struct Tensor {
  void* data;
  DeviceRecord device;
  std::int32_t rank;
  DataType dtype;
  std::int64_t* shape;
  std::int64_t* strides;  ///< in elements; null: row-major
  std::uint64_t byte_offset;
};

struct Managed {
  Tensor tensor;
  void* context;
  void (*deleter)(Managed*);
};

struct Version {
  std::uint32_t major;
  std::uint32_t minor;
};

struct ManagedVersioned {
  Version version;
  void* context;
  void (*deleter)(ManagedVersioned*);
  std::uint64_t flags;
  Tensor tensor;
};

}  // namespace lcx::bindings::dlpack

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <ostream>
#include <type_traits>

#include "core/device.hpp"

namespace lcx {

/// A borrowed, strided array of fixed rank. Never owns; strides count elements and may be negative.
template <typename T, std::size_t Rank>
struct TensorView {
  T* data = nullptr;
  std::array<std::int64_t, Rank> shape{};
  std::array<std::int64_t, Rank> strides{};
  Device device{};

  TensorView() = default;

  /// A row-major contiguous view.
  TensorView(T* pointer, std::array<std::int64_t, Rank> extents, Device where = {})
      : data(pointer), shape(extents), device(where) {
    std::int64_t stride = 1;
    for (std::size_t axis = Rank; axis-- > 0;) {
      strides[axis] = stride;
      stride *= shape[axis];
    }
  }

  TensorView(T* pointer, std::array<std::int64_t, Rank> extents, std::array<std::int64_t, Rank> steps, Device where)
      : data(pointer), shape(extents), strides(steps), device(where) {}

  /// A writable view may be read through a const one.
  template <typename U>
    requires(std::is_same_v<const U, T> && !std::is_same_v<U, T>)
  TensorView(const TensorView<U, Rank>& other)
      : data(other.data), shape(other.shape), strides(other.strides), device(other.device) {}

  std::int64_t size() const {
    std::int64_t count = 1;
    for (const auto extent : shape) count *= extent;
    return count;
  }

  bool empty() const { return size() == 0; }

  /// True if the last axis is dense, so that rows may be read as plain arrays.
  bool has_dense_rows() const { return shape[Rank - 1] <= 1 || strides[Rank - 1] == 1; }

  template <typename... Index>
  T& operator()(Index... index) const {
    static_assert(sizeof...(Index) == Rank);
    const std::array<std::int64_t, Rank> position{static_cast<std::int64_t>(index)...};
    std::int64_t offset = 0;
    for (std::size_t axis = 0; axis < Rank; ++axis) offset += position[axis] * strides[axis];
    return data[offset];
  }

  /// Pointer to the first element of a row of a rank-2 view.
  T* row(std::int64_t y) const
    requires(Rank == 2)
  {
    return data + y * strides[0];
  }
};

/// "[3, 4]", for messages: text only where it is streamed, so that checks which hold make none.
template <std::size_t Rank>
struct ShapeText {
  std::array<std::int64_t, Rank> shape;
};

template <std::size_t Rank>
ShapeText<Rank> shape_text(const std::array<std::int64_t, Rank>& shape) {
  return {shape};
}

template <std::size_t Rank>
std::ostream& operator<<(std::ostream& out, const ShapeText<Rank>& text) {
  out << "[";
  for (std::size_t axis = 0; axis < Rank; ++axis) out << (axis ? ", " : "") << text.shape[axis];
  return out << "]";
}

}  // namespace lcx

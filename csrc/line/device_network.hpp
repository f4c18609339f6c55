#pragma once

#include <array>
#include <cstdint>

#include "core/device.hpp"

namespace lcx {

/// A network that runs on a GPU: TensorRT's, or whatever can put itself on a stream.
class DeviceNetwork {
 public:
  virtual ~DeviceNetwork() = default;

  /// [1, 1, h, w] and [1, C, h, w].
  virtual std::array<std::int64_t, 4> input_shape() const = 0;
  virtual std::array<std::int64_t, 4> output_shape() const = 0;

  /// Puts one tile on `stream`; does not wait. From the second call for a stream on it may be captured into a graph.
  /// Both are dense float32 in device memory.
  virtual void enqueue(const float* input, float* output, Stream stream) = 0;

  /// Nothing will come on this stream any more; it is idle.
  virtual void forget(Stream stream) = 0;
};

}  // namespace lcx

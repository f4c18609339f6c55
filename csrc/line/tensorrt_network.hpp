#pragma once

#include "engine/tensorrt_engine.hpp"
#include "line/device_network.hpp"

namespace lcx {

/// TensorRT's engine as the line's network.
class TensorRtNetwork : public DeviceNetwork {
 public:
  /// engine  outlives this
  explicit TensorRtNetwork(TensorRtEngine& engine) : engine_(engine) {}

  std::array<std::int64_t, 4> input_shape() const override { return engine_.input_shape(); }
  std::array<std::int64_t, 4> output_shape() const override { return engine_.output_shape(); }
  void enqueue(const float* input, float* output, Stream stream) override { engine_.enqueue(input, output, stream); }
  void forget(Stream stream) override { engine_.forget(stream); }

 private:
  TensorRtEngine& engine_;
};

}  // namespace lcx

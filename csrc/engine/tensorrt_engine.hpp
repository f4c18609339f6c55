#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "core/device.hpp"

namespace lcx {

/// A network that TensorRT has compiled into a plan, on one GPU.
///
/// TensorRT's library is opened at run time: a build needs its headers only, and a machine without it still imports the
/// package. Its classes are C++, so a build serves libraries of its headers' major version (`tensorrt_major()`).
///
/// Note [One context a stream]
/// A TensorRT context owns scratch memory on the card, so two runs of one context must not overlap. Runs on one stream
/// never do; hence one context for each stream, made at its first use.
class TensorRtEngine {
 public:
  /// library_path  libnvinfer.so.* or libtensorrt_rtx.so.*, a file or a name the loader knows
  /// plan          of a network with one float32 input and one float32 output, both [N, C, H, W] of fixed shape
  /// device        the GPU to run on
  /// Throws Error(kDevice) if there is no such GPU, and Error(kEngine), with TensorRT's own words, if the library or
  /// the plan cannot be used.
  TensorRtEngine(const std::string& library_path, const void* plan, std::size_t plan_bytes, Device device);
  ~TensorRtEngine();
  TensorRtEngine(const TensorRtEngine&) = delete;
  TensorRtEngine& operator=(const TensorRtEngine&) = delete;

  const std::array<std::int64_t, 4>& input_shape() const;
  const std::array<std::int64_t, 4>& output_shape() const;
  Device device() const;
  /// Of the library, "11.1.0".
  const std::string& version() const;

  /// Puts one batch on `stream`; does not wait. Once this has been called for a stream, a further call for it can be
  /// captured into a CUDA graph. Safe to call from several threads.
  ///
  /// input   device memory, dense, of input_shape()
  /// output  device memory, dense, of output_shape()
  /// Throws Error(kEngine) with TensorRT's own words if it refuses.
  void enqueue(const float* input, float* output, Stream stream);

  /// Frees what was kept for a stream. The stream must be idle.
  void forget(Stream stream);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// The major version of the TensorRT headers this build was made with; 0 without.
int tensorrt_major();

}  // namespace lcx

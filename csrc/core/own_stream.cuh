#pragma once

#include "core/cuda_support.cuh"

namespace lcx {

/// A stream of its own, which waits for no other.
class OwnStream {
 public:
  explicit OwnStream(Device device) {
    const DeviceGuard guard(device);
    cudaStream_t stream = nullptr;
    LCX_CUDA_CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    stream_.handle = stream;
  }
  ~OwnStream() { cudaStreamDestroy(to_cuda(stream_)); }
  OwnStream(const OwnStream&) = delete;
  OwnStream& operator=(const OwnStream&) = delete;

  Stream get() const { return stream_; }

 private:
  Stream stream_;
};

/// An event that orders streams and tells no time.
class OwnEvent {
 public:
  explicit OwnEvent(Device device) {
    const DeviceGuard guard(device);
    LCX_CUDA_CHECK(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming));
  }
  ~OwnEvent() { cudaEventDestroy(event_); }
  OwnEvent(const OwnEvent&) = delete;
  OwnEvent& operator=(const OwnEvent&) = delete;

  /// What comes on `to` now waits for all that is on `from`.
  void order(Stream from, Stream to) const {
    LCX_CUDA_CHECK(cudaEventRecord(event_, to_cuda(from)));
    LCX_CUDA_CHECK(cudaStreamWaitEvent(to_cuda(to), event_, 0));
  }

 private:
  cudaEvent_t event_ = nullptr;
};

}  // namespace lcx

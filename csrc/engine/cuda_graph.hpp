#pragma once

#include <functional>

#include "core/device.hpp"

namespace lcx {

/// Work on a stream, recorded once and replayed with one call: no launch costs, nothing decided on the host.
class CudaGraph {
 public:
  /// Records what `enqueue` puts on `stream`, without doing it. The memory it names must outlive the graph.
  /// Throws Error(kDevice) if it does what a graph cannot hold: allocate, wait, copy with pageable memory. What
  /// `enqueue` throws is passed on, the stream usable again.
  CudaGraph(Device device, Stream stream, const std::function<void()>& enqueue);
  ~CudaGraph();
  CudaGraph(const CudaGraph&) = delete;
  CudaGraph& operator=(const CudaGraph&) = delete;

  /// Puts the recorded work on a stream of the same device; does not wait.
  void launch(Stream stream) const;

 private:
  Device device_;
  void* executable_ = nullptr;  // cudaGraphExec_t
};

}  // namespace lcx

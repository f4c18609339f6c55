#pragma once

#include "core/cuda_support.cuh"

namespace lcx {

/// A stream beside another one, for work that does not depend on what comes there next: within a captured graph, a
/// branch of it. Made before the capture; it may go once the graph is there.
class Branch {
 public:
  explicit Branch(Device device);
  ~Branch();
  Branch(const Branch&) = delete;
  Branch& operator=(const Branch&) = delete;

  /// The branch's stream: what comes on it now waits for all that is on `from`.
  Stream begin(Stream from) const;
  /// What comes on `to` now waits for all that was put on the branch.
  void end(Stream to) const;

 private:
  cudaStream_t stream_ = nullptr;
  cudaEvent_t begun_ = nullptr;
  cudaEvent_t done_ = nullptr;
};

}  // namespace lcx

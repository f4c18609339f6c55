#pragma once

// What streams, events and graphs are made of; for runtime.cpp and graph.cpp.

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "cuda_on_cpu/runtime.hpp"

namespace cuda_on_cpu {

using Work = std::function<cudaError_t()>;

/// Of a conditional node: what it is when the graph is launched, and what kernels have made of it.
struct Condition {
  unsigned initial = 0;
  unsigned value = 0;
};

/// A capture under way: its nodes in an order that keeps to every dependency. Work of streams other than the first one
/// comes when it was asked for, or under the reversed schedule as late as may be: when somebody waits for it.
struct Capture {
  CudaStream* origin = nullptr;
  std::vector<Work> nodes;
  std::vector<CudaStream*> members;
  cudaStreamCaptureMode mode = cudaStreamCaptureModeGlobal;
  std::thread::id thread;  ///< that began it
  bool is_invalid = false;
  CudaGraph* target = nullptr;  ///< of a loop's body: the graph that the nodes go into
};

std::recursive_mutex& mutex();

/// The stream of a handle, the device's null stream for CUDA's default ones; nullptr for what is no stream.
CudaStream* stream_of(cudaStream_t handle);

/// Puts work on a stream or into its capture.
cudaError_t enqueue(CudaStream* stream, Work work);
/// Does a stream's work up to its `until`-th piece.
cudaError_t drain(CudaStream* stream, std::uint64_t until);
cudaError_t drain_everything();

/// Notes an error for cudaGetLastError, and returns it.
cudaError_t note(cudaError_t error);
/// True if a capture forbids what is about to be done (and is invalid from now on): waiting for a stream of its own,
/// or, for nullptr, what CUDA calls potentially unsafe, as allocating. A global capture forbids that to all threads, a
/// thread-local one to its own, a relaxed one to none.
bool capture_forbids(CudaStream* stream);
void count_wait();
void count_graph();

}  // namespace cuda_on_cpu

struct CudaStream {
  int device = 0;
  bool is_blocking = true;  ///< ordered with the null stream
  std::deque<cuda_on_cpu::Work> queue;
  std::uint64_t asked = 0;  ///< pieces of work put on it so far
  std::uint64_t done = 0;
  std::shared_ptr<cuda_on_cpu::Capture> capture;
  std::uint64_t captured = 0;             ///< nodes put into the capture
  std::uint64_t joined = 0;               ///< of these, what another member waits for
  std::vector<cuda_on_cpu::Work> late{};  ///< nodes that nobody waits for yet
};

struct CudaEvent {
  CudaStream* stream = nullptr;
  std::uint64_t until = 0;  ///< the stream's work that it stands for
  std::shared_ptr<cuda_on_cpu::Capture> capture;
  std::uint64_t captured = 0;
  double at_ms = 0.0;
};

struct CudaGraph {
  std::vector<cuda_on_cpu::Work> nodes;                               ///< one after the other
  std::vector<std::shared_ptr<cuda_on_cpu::Condition>> conditions{};  ///< of its conditional nodes
  std::vector<std::shared_ptr<CudaGraph>> bodies{};                   ///< likewise
  std::vector<CudaGraph*> out{};                                      ///< what phGraph_out points to
};

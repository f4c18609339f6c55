#pragma once

#include <cstdint>
#include <functional>

#include "core/device.hpp"

namespace lcx {

// Note [Counted loops]
// How many tiles meet a breast is found out on the device, in the middle of a graph. A graph of CUDA 13 may hold a loop
// whose body is repeated as long as the device says so (a conditional node): then the network runs for just as many
// tiles as there are. An older CUDA, or a body that such a node cannot hold, gets the body recorded as often as it may
// be needed at most; the runs that are too many do no harm, but they take their time.

/// A part of a graph that is repeated as often as the device says when it gets there: at least once, since a graph
/// knows no less without a look at the device before.
struct CountedLoop {
  const std::int32_t* count = nullptr;  ///< [1] on the device: how many turns are wanted
  std::int32_t most = 1;                ///< `count` is at most this
  std::int32_t* index = nullptr;        ///< [1] on the device: the turn that is running, from 0
  std::function<void()> body;           ///< puts one turn on the stream; must do no harm where index >= count
  std::function<void()> prepare;        ///< before each recording of the body, for what none can hold; or empty
};

/// Work on a stream, recorded once and replayed with one call: no launch costs, nothing decided on the host.
class CudaGraph {
 public:
  /// Records what `enqueue` puts on `stream`, without doing it. The memory it names must outlive the graph.
  /// Throws Error(kDevice) if it does what a graph cannot hold: allocate, wait, copy with pageable memory. What
  /// `enqueue` throws is passed on, the stream usable again.
  CudaGraph(Device device, Stream stream, const std::function<void()>& enqueue);
  /// The same for what comes before a loop, the loop (Note [Counted loops]), and what comes after it. A function may be
  /// called several times, and once more where the first form of the loop cannot be had.
  CudaGraph(Device device, Stream stream, const std::function<void()>& before, const CountedLoop& loop,
            const std::function<void()>& after);
  ~CudaGraph();
  CudaGraph(const CudaGraph&) = delete;
  CudaGraph& operator=(const CudaGraph&) = delete;

  /// Puts the recorded work on a stream of the same device; does not wait.
  void launch(Stream stream) const;

  /// Whether the loop ends when the device says so, rather than after its most turns.
  bool loop_is_conditional() const { return is_conditional_; }

 private:
  Device device_;
  bool is_conditional_ = false;
  void* executable_ = nullptr;  // cudaGraphExec_t
};

}  // namespace lcx

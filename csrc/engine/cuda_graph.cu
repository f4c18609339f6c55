#include <exception>
#include <memory>
#include <type_traits>

#include "core/cuda_support.cuh"
#include "engine/cuda_graph.hpp"

// Conditional nodes came with 12.4; since 13 their functions have one form, and a kernel sets a condition without
// relocatable device code.
#if CUDART_VERSION >= 13000
#define LCX_CONDITIONAL_GRAPHS
#endif

namespace lcx {
namespace {

struct DestroyGraph {
  void operator()(cudaGraph_t graph) const { cudaGraphDestroy(graph); }
};
using OwnedGraph = std::unique_ptr<std::remove_pointer_t<cudaGraph_t>, DestroyGraph>;

/// What comes between the beginning of a capture and its end; the graph that it gives.
cudaGraph_t finish_capture(Stream stream, const std::function<void()>& enqueue) {
  cudaGraph_t graph = nullptr;
  try {
    enqueue();
  } catch (...) {
    cudaStreamEndCapture(to_cuda(stream), &graph);
    cudaGetLastError();
    throw;
  }
  LCX_CUDA_CHECK(cudaStreamEndCapture(to_cuda(stream), &graph));
  return graph;
}

// Thread-local: other threads may allocate and wait meanwhile, on their own streams.
OwnedGraph capture(Stream stream, const std::function<void()>& enqueue) {
  LCX_CUDA_CHECK(cudaStreamBeginCapture(to_cuda(stream), cudaStreamCaptureModeThreadLocal));
  return OwnedGraph(finish_capture(stream, enqueue));
}

cudaGraphExec_t instantiate(cudaGraph_t graph) {
  cudaGraphExec_t executable = nullptr;
  LCX_CUDA_CHECK(cudaGraphInstantiate(&executable, graph, 0));
  return executable;
}

__global__ void count_turn(std::int32_t* index) {
  if (threadIdx.x == 0) ++*index;
}

void enqueue_start(const CountedLoop& loop, Stream stream) {
  LCX_CUDA_CHECK(cudaMemsetAsync(loop.index, 0, sizeof(*loop.index), to_cuda(stream)));
}

/// Every turn recorded, and none left out.
cudaGraphExec_t unrolled(Stream stream, const std::function<void()>& before, const CountedLoop& loop,
                         const std::function<void()>& after) {
  if (loop.prepare) loop.prepare();
  const OwnedGraph graph = capture(stream, [&] {
    before();
    enqueue_start(loop, stream);
    for (std::int32_t turn = 0; turn < loop.most; ++turn) {
      loop.body();
      LCX_LAUNCH(count_turn, 1, 32, 0, to_cuda(stream), loop.index);
      LCX_CUDA_CHECK(cudaGetLastError());
    }
    after();
  });
  return instantiate(graph.get());
}

#ifdef LCX_CONDITIONAL_GRAPHS

__global__ void decide_turn(cudaGraphConditionalHandle loop, std::int32_t* index, const std::int32_t* count) {
  if (threadIdx.x != 0) return;
  const std::int32_t next = ++*index;
  cudaGraphSetConditional(loop, next < *count ? 1 : 0);
}

/// A chain of three nodes: what comes before as a child graph, the loop, what comes after.
cudaGraphExec_t conditional(Stream stream, const std::function<void()>& before, const CountedLoop& loop,
                            const std::function<void()>& after) {
  if (loop.prepare) loop.prepare();
  cudaGraph_t made = nullptr;
  LCX_CUDA_CHECK(cudaGraphCreate(&made, 0));
  const OwnedGraph graph(made);
  const OwnedGraph first = capture(stream, [&] {
    before();
    enqueue_start(loop, stream);
  });
  cudaGraphConditionalHandle handle{};
  LCX_CUDA_CHECK(cudaGraphConditionalHandleCreate(&handle, graph.get(), 1, cudaGraphCondAssignDefault));
  cudaGraphNode_t first_node = nullptr;
  LCX_CUDA_CHECK(cudaGraphAddChildGraphNode(&first_node, graph.get(), nullptr, 0, first.get()));
  cudaGraphNodeParams parameters{};
  parameters.type = cudaGraphNodeTypeConditional;
  parameters.conditional.handle = handle;
  parameters.conditional.type = cudaGraphCondTypeWhile;
  parameters.conditional.size = 1;
  cudaGraphNode_t loop_node = nullptr;
  LCX_CUDA_CHECK(cudaGraphAddNode(&loop_node, graph.get(), &first_node, nullptr, 1, &parameters));
  LCX_CUDA_CHECK(cudaStreamBeginCaptureToGraph(to_cuda(stream), parameters.conditional.phGraph_out[0], nullptr, nullptr,
                                               0, cudaStreamCaptureModeThreadLocal));
  finish_capture(stream, [&] {
    loop.body();
    LCX_LAUNCH(decide_turn, 1, 32, 0, to_cuda(stream), handle, loop.index, loop.count);
    LCX_CUDA_CHECK(cudaGetLastError());
  });
  const OwnedGraph last = capture(stream, after);
  cudaGraphNode_t last_node = nullptr;
  LCX_CUDA_CHECK(cudaGraphAddChildGraphNode(&last_node, graph.get(), &loop_node, 1, last.get()));
  return instantiate(graph.get());
}

#endif

}  // namespace

CudaGraph::CudaGraph(Device device, Stream stream, const std::function<void()>& enqueue) : device_(device) {
  const DeviceGuard guard(device);
  executable_ = instantiate(capture(stream, enqueue).get());
}

CudaGraph::CudaGraph(Device device, Stream stream, const std::function<void()>& before, const CountedLoop& loop,
                     const std::function<void()>& after)
    : device_(device) {
  const DeviceGuard guard(device);
#ifdef LCX_CONDITIONAL_GRAPHS
  if (loop.most > 1) {
    try {
      executable_ = conditional(stream, before, loop, after);
      is_conditional_ = true;
      return;
    } catch (const std::exception&) {
      // What a conditional node's body cannot hold, or an old driver: the other form can. Whoever put it on the stream
      // may tell so in words of its own; if it was something else, the other form fails too and tells it.
    }
  }
#endif
  executable_ = unrolled(stream, before, loop, after);
}

CudaGraph::~CudaGraph() { cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(executable_)); }

void CudaGraph::launch(Stream stream) const {
  const DeviceGuard guard(device_);
  LCX_CUDA_CHECK(cudaGraphLaunch(static_cast<cudaGraphExec_t>(executable_), to_cuda(stream)));
}

}  // namespace lcx

#include "core/cuda_support.cuh"
#include "engine/cuda_graph.hpp"

namespace lcx {

CudaGraph::CudaGraph(Device device, Stream stream, const std::function<void()>& enqueue) : device_(device) {
  const DeviceGuard guard(device);
  cudaGraph_t graph = nullptr;
  // Thread-local: other threads may allocate and wait meanwhile, on their own streams.
  LCX_CUDA_CHECK(cudaStreamBeginCapture(to_cuda(stream), cudaStreamCaptureModeThreadLocal));
  try {
    enqueue();
  } catch (...) {
    cudaStreamEndCapture(to_cuda(stream), &graph);
    if (graph != nullptr) cudaGraphDestroy(graph);
    cudaGetLastError();
    throw;
  }
  LCX_CUDA_CHECK(cudaStreamEndCapture(to_cuda(stream), &graph));
  cudaGraphExec_t executable = nullptr;
  const cudaError_t error = cudaGraphInstantiate(&executable, graph, 0);
  cudaGraphDestroy(graph);
  if (error != cudaSuccess) throw_cuda_error(error, "cudaGraphInstantiate");
  executable_ = executable;
}

CudaGraph::~CudaGraph() { cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(executable_)); }

void CudaGraph::launch(Stream stream) const {
  const DeviceGuard guard(device_);
  LCX_CUDA_CHECK(cudaGraphLaunch(static_cast<cudaGraphExec_t>(executable_), to_cuda(stream)));
}

}  // namespace lcx

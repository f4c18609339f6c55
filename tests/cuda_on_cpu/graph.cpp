// Streams, events, capture and graphs.

#include <algorithm>
#include <array>
#include <chrono>
#include <set>

#include "cuda_on_cpu/stream.hpp"

namespace cuda_on_cpu {

cudaError_t sticky_error();
Schedule schedule_now();
int device_now();
void clear_errors();

namespace {

std::array<CudaStream, kDevices> null_streams;
std::set<CudaStream*> streams;
std::set<Capture*> captures;

template <typename Visit>
void for_each_stream(const Visit& visit) {
  for (int device = 0; device < kDevices; ++device) {
    null_streams[static_cast<std::size_t>(device)].device = device;
    visit(&null_streams[static_cast<std::size_t>(device)]);
  }
  for (CudaStream* stream : streams) visit(stream);
}

double now_ms() {
  const auto since = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration<double, std::milli>(since).count();
}

void push(CudaStream* stream, Work work) {
  stream->queue.push_back(std::move(work));
  ++stream->asked;
}

bool is_null(const CudaStream* stream) { return streams.find(const_cast<CudaStream*>(stream)) == streams.end(); }

// The null stream waits for the blocking ones, and they for it.
void order_with_null_stream(CudaStream* stream) {
  if (!stream->is_blocking) return;
  for_each_stream([&](CudaStream* other) {
    if (other == stream || !other->is_blocking || other->device != stream->device || other->queue.empty()) return;
    if (is_null(other) == is_null(stream)) return;
    push(stream, [other, until = other->asked] { return drain(other, until); });
  });
}

cudaError_t wait(CudaStream* stream, std::uint64_t until) {
  count_wait();
  if (capture_forbids(stream)) return note(cudaErrorStreamCaptureUnsupported);
  return note(drain(stream, until));
}

bool conditional_nodes_forbidden = false;

cudaError_t run_nodes(const std::vector<Work>& nodes) {
  for (const Work& node : nodes) {
    if (sticky_error() == cudaSuccess) node();
  }
  return sticky_error();
}

// Chains are all that graphs can be here.
bool is_end_of_chain(const CudaGraph* graph, const cudaGraphNode_t* dependencies, std::size_t count) {
  return graph->nodes.empty() ? count == 0 : count == 1 && *dependencies == graph;
}

}  // namespace

void forbid_conditional_nodes(bool forbidden) { conditional_nodes_forbidden = forbidden; }

std::recursive_mutex& mutex() {
  static std::recursive_mutex the_one;
  return the_one;
}

CudaStream* stream_of(cudaStream_t handle) {
  if (reinterpret_cast<std::uintptr_t>(handle) <= 2) {
    CudaStream* stream = &null_streams[static_cast<std::size_t>(device_now())];
    stream->device = device_now();
    return stream;
  }
  return streams.count(handle) ? handle : nullptr;
}

cudaError_t enqueue(CudaStream* stream, Work work) {
  if (sticky_error() != cudaSuccess) return note(sticky_error());
  if (stream->capture) {
    if (stream->capture->is_invalid) return note(cudaErrorStreamCaptureInvalidated);
    const bool is_late = stream != stream->capture->origin && schedule_now().kind == ScheduleKind::kReversed;
    (is_late ? stream->late : stream->capture->nodes).push_back(std::move(work));
    ++stream->captured;
    return cudaSuccess;
  }
  if (is_null(stream)) {
    for (Capture* capture : captures) {
      if (!capture->origin->is_blocking) continue;
      capture->is_invalid = true;
      return note(cudaErrorStreamCaptureImplicit);
    }
  }
  order_with_null_stream(stream);
  push(stream, std::move(work));
  return cudaSuccess;
}

cudaError_t drain(CudaStream* stream, std::uint64_t until) {
  while (stream->done < until && !stream->queue.empty()) {
    const Work work = std::move(stream->queue.front());
    stream->queue.pop_front();
    ++stream->done;
    if (sticky_error() == cudaSuccess) work();
  }
  return sticky_error();
}

cudaError_t drain_everything() {
  for_each_stream([](CudaStream* stream) { drain(stream, stream->asked); });
  return sticky_error();
}

bool capture_forbids(CudaStream* stream) {
  bool forbidden = false;
  for (Capture* capture : captures) {
    const bool concerns_thread =
        capture->mode == cudaStreamCaptureModeGlobal ||
        (capture->mode == cudaStreamCaptureModeThreadLocal && capture->thread == std::this_thread::get_id());
    if (stream == nullptr ? !concerns_thread : stream->capture.get() != capture) continue;
    capture->is_invalid = true;
    forbidden = true;
  }
  return forbidden;
}

void reset() {
  const std::lock_guard lock(mutex());
  drain_everything();  // what waits may be memory to be freed
  for_each_stream([](CudaStream* stream) {
    stream->done = stream->asked;
    stream->queue.clear();
    stream->capture.reset();
  });
  captures.clear();
  clear_errors();
}

}  // namespace cuda_on_cpu

using namespace cuda_on_cpu;

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  const std::lock_guard lock(mutex());
  *stream = new CudaStream{device_now(), (flags & cudaStreamNonBlocking) == 0, {}, 0, 0, nullptr, 0, 0};
  streams.insert(*stream);
  return cudaSuccess;
}
cudaError_t cudaStreamCreate(cudaStream_t* stream) { return cudaStreamCreateWithFlags(stream, 0); }
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  const std::lock_guard lock(mutex());
  if (!streams.count(stream)) return note(cudaErrorInvalidResourceHandle);
  drain(stream, stream->asked);
  streams.erase(stream);  // and not deleted: events may name it
  return cudaSuccess;
}
cudaError_t cudaStreamGetDevice(cudaStream_t handle, int* device) {
  const std::lock_guard lock(mutex());
  const CudaStream* stream = stream_of(handle);
  if (stream == nullptr) return note(cudaErrorInvalidResourceHandle);
  *device = stream->device;
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t handle) {
  const std::lock_guard lock(mutex());
  CudaStream* stream = stream_of(handle);
  if (stream == nullptr) return note(cudaErrorInvalidResourceHandle);
  if (is_null(stream)) order_with_null_stream(stream);
  return wait(stream, stream->asked);
}
cudaError_t cudaDeviceSynchronize() {
  const std::lock_guard lock(mutex());
  count_wait();
  if (capture_forbids(nullptr)) return note(cudaErrorStreamCaptureUnsupported);
  return note(drain_everything());
}
// A host that asks again and again must see progress: each question does one piece of work.
cudaError_t cudaStreamQuery(cudaStream_t handle) {
  const std::lock_guard lock(mutex());
  CudaStream* stream = stream_of(handle);
  if (stream == nullptr) return note(cudaErrorInvalidResourceHandle);
  if (capture_forbids(stream)) return note(cudaErrorStreamCaptureUnsupported);
  if (stream->queue.empty()) return sticky_error();
  drain(stream, stream->done + 1);
  return cudaErrorNotReady;
}

cudaError_t cudaLaunchHostFunc(cudaStream_t handle, void (*function)(void*), void* argument) {
  const std::lock_guard lock(mutex());
  CudaStream* stream = stream_of(handle);
  if (stream == nullptr) return note(cudaErrorInvalidResourceHandle);
  if (stream->capture && stream->capture->target != nullptr) {  // no such node in a loop's body
    stream->capture->is_invalid = true;
    return note(cudaErrorStreamCaptureUnsupported);
  }
  return enqueue(stream, [=] {
    function(argument);
    return cudaSuccess;
  });
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = new CudaEvent();
  return cudaSuccess;
}
cudaError_t cudaEventCreate(cudaEvent_t* event) { return cudaEventCreateWithFlags(event, 0); }
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  const std::lock_guard lock(mutex());
  if (event->stream != nullptr && !event->capture) drain(event->stream, event->until);
  delete event;
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t handle) {
  const std::lock_guard lock(mutex());
  CudaStream* stream = stream_of(handle);
  if (stream == nullptr) return note(cudaErrorInvalidResourceHandle);
  event->stream = stream;
  event->capture = stream->capture;
  if (stream->capture) {
    event->captured = stream->captured;
    return cudaSuccess;
  }
  const cudaError_t error = enqueue(stream, [event] {
    event->at_ms = now_ms();
    return cudaSuccess;
  });
  event->until = stream->asked;
  return error;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t handle, cudaEvent_t event, unsigned) {
  const std::lock_guard lock(mutex());
  CudaStream* stream = stream_of(handle);
  if (stream == nullptr) return note(cudaErrorInvalidResourceHandle);
  if (event->stream == nullptr) return cudaSuccess;
  if (event->capture) {
    if (stream->capture && stream->capture != event->capture) return note(cudaErrorStreamCaptureInvalidated);
    if (!stream->capture) {
      stream->capture = event->capture;
      stream->captured = stream->joined = 0;
      event->capture->members.push_back(stream);
    }
    if (event->stream != stream) {
      event->stream->joined = std::max(event->stream->joined, event->captured);
      auto& nodes = stream == stream->capture->origin ? stream->capture->nodes : stream->late;
      nodes.insert(nodes.end(), event->stream->late.begin(), event->stream->late.end());
      event->stream->late.clear();
    }
    return cudaSuccess;
  }
  return enqueue(stream, [other = event->stream, until = event->until] { return drain(other, until); });
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  const std::lock_guard lock(mutex());
  if (event->stream == nullptr) return cudaSuccess;
  if (event->capture) return note(cudaErrorStreamCaptureUnsupported);
  return wait(event->stream, event->until);
}
cudaError_t cudaEventQuery(cudaEvent_t event) {
  const std::lock_guard lock(mutex());
  if (event->stream == nullptr || event->stream->done >= event->until) return sticky_error();
  if (event->capture) return note(cudaErrorStreamCaptureUnsupported);
  drain(event->stream, event->stream->done + 1);
  return cudaErrorNotReady;
}
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t begin, cudaEvent_t end) {
  const std::lock_guard lock(mutex());
  if (begin->stream == nullptr || end->stream == nullptr) return note(cudaErrorInvalidResourceHandle);
  if (end->stream->done < end->until) return cudaErrorNotReady;
  *milliseconds = static_cast<float>(end->at_ms - begin->at_ms);
  return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t handle, cudaStreamCaptureMode mode) {
  return cudaStreamBeginCaptureToGraph(handle, nullptr, nullptr, nullptr, 0, mode);
}
cudaError_t cudaStreamBeginCaptureToGraph(cudaStream_t handle, cudaGraph_t graph, const cudaGraphNode_t*,
                                          const cudaGraphEdgeData*, std::size_t count, cudaStreamCaptureMode mode) {
  const std::lock_guard lock(mutex());
  if (count != 0) return note(cudaErrorInvalidValue);
  CudaStream* stream = stream_of(handle);
  if (stream == nullptr) return note(cudaErrorInvalidResourceHandle);
  if (is_null(stream) || stream->capture) return note(cudaErrorStreamCaptureUnsupported);
  stream->capture = std::make_shared<Capture>();
  stream->capture->origin = stream;
  stream->capture->members = {stream};
  stream->capture->mode = mode;
  stream->capture->target = graph;
  stream->capture->thread = std::this_thread::get_id();
  stream->captured = stream->joined = 0;
  captures.insert(stream->capture.get());
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t handle, cudaGraph_t* graph) {
  const std::lock_guard lock(mutex());
  CudaStream* stream = stream_of(handle);
  if (stream == nullptr || !stream->capture || stream->capture->origin != stream) {
    return note(cudaErrorInvalidResourceHandle);
  }
  const std::shared_ptr<Capture> capture = stream->capture;
  captures.erase(capture.get());
  bool all_joined = true;
  for (CudaStream* member : capture->members) {
    all_joined &= member == stream || member->joined == member->captured;
    member->late.clear();
    member->capture.reset();
  }
  *graph = nullptr;
  if (capture->is_invalid) return note(cudaErrorStreamCaptureInvalidated);
  if (!all_joined) return note(cudaErrorStreamCaptureUnjoined);
  if (capture->target == nullptr) {
    *graph = new CudaGraph{capture->nodes};
    return cudaSuccess;
  }
  *graph = capture->target;
  capture->target->nodes.insert(capture->target->nodes.end(), capture->nodes.begin(), capture->nodes.end());
  return cudaSuccess;
}
cudaError_t cudaStreamIsCapturing(cudaStream_t handle, cudaStreamCaptureStatus* status) {
  const std::lock_guard lock(mutex());
  const CudaStream* stream = stream_of(handle);
  if (stream == nullptr) return note(cudaErrorInvalidResourceHandle);
  *status = !stream->capture              ? cudaStreamCaptureStatusNone
            : stream->capture->is_invalid ? cudaStreamCaptureStatusInvalidated
                                          : cudaStreamCaptureStatusActive;
  return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long) {
  *executable = new CudaGraph(*graph);
  return cudaSuccess;
}
cudaError_t cudaGraphUpload(cudaGraphExec_t, cudaStream_t) { return cudaSuccess; }
cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t handle) {
  const std::lock_guard lock(mutex());
  CudaStream* stream = stream_of(handle);
  if (stream == nullptr) return note(cudaErrorInvalidResourceHandle);
  count_graph();
  return enqueue(stream, [graph = *executable] {
    for (const auto& condition : graph.conditions) condition->value = condition->initial;
    return run_nodes(graph.nodes);
  });
}
cudaError_t cudaGraphCreate(cudaGraph_t* graph, unsigned) {
  *graph = new CudaGraph();
  return cudaSuccess;
}
cudaError_t cudaGraphAddChildGraphNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* dependencies,
                                       std::size_t count, cudaGraph_t child) {
  const std::lock_guard lock(mutex());
  if (!is_end_of_chain(graph, dependencies, count)) return note(cudaErrorInvalidValue);
  graph->nodes.push_back([nodes = child->nodes] { return run_nodes(nodes); });
  *node = graph;
  return cudaSuccess;
}
cudaError_t cudaGraphConditionalHandleCreate(cudaGraphConditionalHandle* handle, cudaGraph_t graph,
                                             unsigned default_value, unsigned) {
  const std::lock_guard lock(mutex());
  if (conditional_nodes_forbidden) return note(cudaErrorNotSupported);
  graph->conditions.push_back(std::make_shared<Condition>(Condition{default_value, default_value}));
  *handle = reinterpret_cast<cudaGraphConditionalHandle>(graph->conditions.back().get());
  return cudaSuccess;
}
cudaError_t cudaGraphAddNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* dependencies,
                             const cudaGraphEdgeData*, std::size_t count, cudaGraphNodeParams* parameters) {
  const std::lock_guard lock(mutex());
  const bool is_while = parameters->type == cudaGraphNodeTypeConditional &&
                        parameters->conditional.type == cudaGraphCondTypeWhile && parameters->conditional.size == 1;
  if (!is_while || !is_end_of_chain(graph, dependencies, count)) return note(cudaErrorInvalidValue);
  const auto* condition = reinterpret_cast<const Condition*>(parameters->conditional.handle);
  graph->bodies.push_back(std::make_shared<CudaGraph>());
  graph->out = {graph->bodies.back().get()};
  parameters->conditional.phGraph_out = graph->out.data();
  graph->nodes.push_back([condition, body = graph->bodies.back()] {
    while (condition->value != 0 && sticky_error() == cudaSuccess) run_nodes(body->nodes);
    return sticky_error();
  });
  *node = graph;
  return cudaSuccess;
}
void cudaGraphSetConditional(cudaGraphConditionalHandle handle, unsigned value) {
  reinterpret_cast<Condition*>(handle)->value = value;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) { return cudaGraphDestroy(executable); }

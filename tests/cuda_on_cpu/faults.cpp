// Kernels with one planted fault each, and sound ones, run by tests/test_cuda_on_cpu.py: `faults NAME [SCHEDULE SEED]`
// prints what the emulation says. A fault nobody notices would print "cudaSuccess".

#include <cstdio>
#include <cstring>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "core/gpu_compat.cuh"
#include "cuda_on_cpu/memory.hpp"

namespace {

constexpr int kThreads = 64;

__global__ void reverse_through_shared(int* data, bool with_barrier) {
  LCX_SHARED(int, shared, kThreads);
  shared[threadIdx.x] = data[threadIdx.x];
  if (with_barrier) __syncthreads();
  data[threadIdx.x] = shared[kThreads - 1 - threadIdx.x];
}

__global__ void two_barriers(int* data) {
  if (threadIdx.x < 32) {
    __syncthreads();
  } else {
    __syncthreads();
  }
  data[threadIdx.x] = 1;
}

__global__ void early_end(int* data) {
  if (threadIdx.x == 5) return;
  __syncthreads();
  data[threadIdx.x] = 1;
}

__global__ void barrier_or_warp(int* data) {
  if (threadIdx.x < 16) {
    __syncthreads();
  } else {
    data[threadIdx.x] = static_cast<int>(__ballot_sync(0xffffffffU, 1));
  }
}

__global__ void lane_missing(int* data) {
  if (threadIdx.x % 32 == 3) return;
  data[threadIdx.x] = __shfl_sync(0xffffffffU, 1, 0);
}

__global__ void shuffle_from_outside(int* data) {
  if (threadIdx.x % 32 < 16) data[threadIdx.x] = __shfl_sync(0xffffU, 1, 20);
}

__global__ void write_at(int* data, int index) {
  if (threadIdx.x == 0) data[index] = 1;
}

__global__ void count_without_atomics(int* data) {
  const int old = lcx::load_fresh(data);
  *data = old + 1;
}

__global__ void count_with_atomics(int* data) { atomicAdd(data, 1); }

__global__ void last_writer(int* data) { *data = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x); }

__global__ void wait_for_ever(int* data) {
  while (lcx::load_fresh(data) != 12345) {
  }
}

__global__ void wait_for_the_last(int* data) {
  if (threadIdx.x == kThreads - 1) atomicExch(data, 12345);
  while (lcx::load_fresh(data) != 12345) {
  }
}

struct Program {
  int* data = nullptr;
  cudaStream_t stream = nullptr;

  std::vector<int> read(int count) const {
    std::vector<int> values(static_cast<std::size_t>(count));
    cudaMemcpy(values.data(), data, values.size() * sizeof(int), cudaMemcpyDeviceToHost);
    return values;
  }
  template <typename Kernel, typename... Arguments>
  void run(Kernel kernel, unsigned blocks, Arguments... arguments) const {
    LCX_LAUNCH(kernel, blocks, kThreads, 0, stream, arguments...);
  }
};

void print(const std::vector<int>& values) {
  for (const int value : values) std::printf("%d ", value);
  std::printf("\n");
}

void shared_kernel(Program& p, bool with_barrier) {
  std::vector<int> values(kThreads);
  for (int i = 0; i < kThreads; ++i) values[static_cast<std::size_t>(i)] = i;
  cudaMemcpy(p.data, values.data(), values.size() * sizeof(int), cudaMemcpyHostToDevice);
  p.run(reverse_through_shared, 1, p.data, with_barrier);
  print(p.read(kThreads));
}

void one_counter(Program& p, void (*kernel)(int*), unsigned blocks) {
  cudaMemset(p.data, 0, sizeof(int));
  p.run(kernel, blocks, p.data);
  print(p.read(1));
}

// The copy is on its way, not there: the buffer holds what it held.
void no_wait(Program& p) {
  int* pinned = nullptr;
  cudaMallocHost(reinterpret_cast<void**>(&pinned), sizeof(int));
  *pinned = -1;
  cudaMemsetAsync(p.data, 0, sizeof(int), p.stream);
  cudaMemcpyAsync(pinned, p.data, sizeof(int), cudaMemcpyDeviceToHost, p.stream);
  std::printf("%d ", *pinned);
  cudaStreamSynchronize(p.stream);
  std::printf("%d\n", *pinned);
  cudaFreeHost(pinned);
}

void graph(Program& p) {
  int* pinned = nullptr;
  cudaMallocHost(reinterpret_cast<void**>(&pinned), sizeof(int));
  cudaStream_t side = nullptr;
  cudaStreamCreateWithFlags(&side, cudaStreamNonBlocking);
  cudaEvent_t fork = nullptr;
  cudaEvent_t join = nullptr;
  cudaEventCreate(&fork);
  cudaEventCreate(&join);
  cudaStreamBeginCapture(p.stream, cudaStreamCaptureModeGlobal);
  cudaMemcpyAsync(p.data, pinned, sizeof(int), cudaMemcpyHostToDevice, p.stream);
  cudaEventRecord(fork, p.stream);
  cudaStreamWaitEvent(side, fork, 0);
  LCX_LAUNCH(count_with_atomics, 1, kThreads, 0, side, p.data);
  cudaEventRecord(join, side);
  cudaStreamWaitEvent(p.stream, join, 0);
  cudaMemcpyAsync(pinned, p.data, sizeof(int), cudaMemcpyDeviceToHost, p.stream);
  cudaGraph_t captured = nullptr;
  std::printf("%s ", cudaGetErrorName(cudaStreamEndCapture(p.stream, &captured)));
  cudaGraphExec_t executable = nullptr;
  cudaGraphInstantiate(&executable, captured, 0);
  for (const int start : {100, 1000}) {
    *pinned = start;
    cudaGraphLaunch(executable, p.stream);
    std::printf("%d ", *pinned);
    cudaStreamSynchronize(p.stream);
    std::printf("%d ", *pinned);
  }
  std::printf("\n");
}

// A wait, an allocation and a copy with pageable memory, none of which a graph can hold; and a fork without a join.
void capture_faults(Program& p) {
  cudaGraph_t captured = nullptr;
  int pageable = 0;
  cudaStreamBeginCapture(p.stream, cudaStreamCaptureModeGlobal);
  std::printf("%s ", cudaGetErrorName(cudaStreamSynchronize(p.stream)));
  std::printf("%s ", cudaGetErrorName(cudaStreamEndCapture(p.stream, &captured)));
  cudaStreamBeginCapture(p.stream, cudaStreamCaptureModeGlobal);
  void* more = nullptr;
  std::printf("%s ", cudaGetErrorName(cudaMallocAsync(&more, 4, p.stream)));
  cudaStreamEndCapture(p.stream, &captured);
  cudaStreamBeginCapture(p.stream, cudaStreamCaptureModeGlobal);
  std::printf("%s ", cudaGetErrorName(cudaMemcpyAsync(&pageable, p.data, 4, cudaMemcpyDeviceToHost, p.stream)));
  cudaStreamEndCapture(p.stream, &captured);
  cudaStream_t side = nullptr;
  cudaStreamCreateWithFlags(&side, cudaStreamNonBlocking);
  cudaEvent_t fork = nullptr;
  cudaEventCreate(&fork);
  cudaStreamBeginCapture(p.stream, cudaStreamCaptureModeGlobal);
  cudaEventRecord(fork, p.stream);
  cudaStreamWaitEvent(side, fork, 0);
  LCX_LAUNCH(count_with_atomics, 1, kThreads, 0, side, p.data);
  std::printf("%s\n", cudaGetErrorName(cudaStreamEndCapture(p.stream, &captured)));
  cudaGetLastError();
}

// Whom a capture forbids to allocate: "own thread, another thread" for each mode.
void capture_modes(Program& p) {
  for (const auto mode :
       {cudaStreamCaptureModeGlobal, cudaStreamCaptureModeThreadLocal, cudaStreamCaptureModeRelaxed}) {
    const auto allocate_while_capturing = [&](bool elsewhere) {
      cudaStreamBeginCapture(p.stream, mode);
      cudaError_t error = cudaSuccess;
      const auto allocate = [&] {
        void* memory = nullptr;
        error = cudaMalloc(&memory, 4);
        if (error == cudaSuccess) cudaFree(memory);
      };
      elsewhere ? std::thread(allocate).join() : allocate();
      cudaGraph_t captured = nullptr;
      cudaStreamEndCapture(p.stream, &captured);
      return error == cudaSuccess ? "may" : "may not";
    };
    std::printf("%s, ", allocate_while_capturing(false));
    std::printf("%s; ", allocate_while_capturing(true));
  }
  std::printf("\n");
  cudaGetLastError();
}

void wrong_calls(Program& p) {
  LCX_LAUNCH(last_writer, 1, 2048, 0, p.stream, p.data);
  std::printf("%s ", cudaGetErrorName(cudaGetLastError()));
  LCX_LAUNCH(last_writer, 0, 32, 0, p.stream, p.data);
  std::printf("%s ", cudaGetErrorName(cudaGetLastError()));
  int host = 0;
  std::printf("%s ", cudaGetErrorName(cudaMemcpy(&host, p.data, 4, cudaMemcpyHostToDevice)));
  std::printf("%s ", cudaGetErrorName(cudaMemcpy(p.data, &host, 1 << 20, cudaMemcpyHostToDevice)));
  std::printf("%s ", cudaGetErrorName(cudaSetDevice(99)));
  void* huge = nullptr;
  std::printf("%s ", cudaGetErrorName(cudaMalloc(&huge, std::size_t{1} << 60)));
  std::printf("%s\n", cudaGetErrorName(cudaStreamSynchronize(reinterpret_cast<cudaStream_t>(0x1234))));
  cudaGetLastError();
}

// An event makes one stream wait for another, whoever is asked first.
void event_order(Program& p) {
  cudaStream_t second = nullptr;
  cudaStreamCreateWithFlags(&second, cudaStreamNonBlocking);
  cudaEvent_t done = nullptr;
  cudaEventCreateWithFlags(&done, cudaEventDisableTiming);
  cudaMemsetAsync(p.data, 0, sizeof(int), p.stream);
  p.run(count_with_atomics, 1, p.data);
  cudaEventRecord(done, p.stream);
  cudaStreamWaitEvent(second, done, 0);
  int* pinned = nullptr;
  cudaMallocHost(reinterpret_cast<void**>(&pinned), sizeof(int));
  cudaMemcpyAsync(pinned, p.data, sizeof(int), cudaMemcpyDeviceToHost, second);
  cudaStreamSynchronize(second);
  std::printf("%d\n", *pinned);
}

const std::map<std::string, void (*)(Program&)> kPrograms{
    {"with_barrier", [](Program& p) { shared_kernel(p, true); }},
    {"dropped_barrier", [](Program& p) { shared_kernel(p, false); }},
    {"two_barriers", [](Program& p) { p.run(two_barriers, 1, p.data); }},
    {"early_end", [](Program& p) { p.run(early_end, 1, p.data); }},
    {"barrier_or_warp", [](Program& p) { p.run(barrier_or_warp, 1, p.data); }},
    {"lane_missing", [](Program& p) { p.run(lane_missing, 1, p.data); }},
    {"shuffle_from_outside", [](Program& p) { p.run(shuffle_from_outside, 1, p.data); }},
    {"write_past_the_end", [](Program& p) { p.run(write_at, 1, p.data, kThreads); }},
    {"write_far_before", [](Program& p) { p.run(write_at, 1, p.data, -1024); }},
    {"write_just_before",
     [](Program& p) {
       p.run(write_at, 1, p.data, -1);
       cudaStreamSynchronize(p.stream);
       cudaFreeAsync(p.data, p.stream);
     }},
    {"count_without_atomics", [](Program& p) { one_counter(p, count_without_atomics, 4); }},
    {"count_with_atomics", [](Program& p) { one_counter(p, count_with_atomics, 4); }},
    {"last_writer", [](Program& p) { one_counter(p, last_writer, 4); }},
    {"wait_for_ever", [](Program& p) { p.run(wait_for_ever, 1, p.data); }},
    {"wait_for_the_last", [](Program& p) { one_counter(p, wait_for_the_last, 1); }},
    {"host_reads_device", [](Program& p) { std::printf("%d\n", *static_cast<volatile int*>(p.data)); }},
    {"host_writes_device", [](Program& p) { std::memset(p.data, 0, 4); }},
    {"no_wait", no_wait},
    {"graph", graph},
    {"capture_faults", capture_faults},
    {"capture_modes", capture_modes},
    {"wrong_calls", wrong_calls},
    {"event_order", event_order},
    {"fresh_memory_is_no_zeros", [](Program& p) { print(p.read(1)); }},
};

}  // namespace

int main(int count, char** arguments) {
  const auto found = count > 1 ? kPrograms.find(arguments[1]) : kPrograms.end();
  if (found == kPrograms.end()) return 2;
  if (count > 3) {
    const std::string kind = arguments[2];
    cuda_on_cpu::set_schedule({kind == "reversed" ? cuda_on_cpu::ScheduleKind::kReversed
                               : kind == "random" ? cuda_on_cpu::ScheduleKind::kRandom
                                                  : cuda_on_cpu::ScheduleKind::kInOrder,
                               std::stoull(arguments[3])});
  }
  Program program;
  cudaMalloc(reinterpret_cast<void**>(&program.data), kThreads * sizeof(int));
  cudaStreamCreate(&program.stream);
  found->second(program);
  const cudaError_t error = cudaDeviceSynchronize();
  std::printf("%s %s\n", cudaGetErrorName(error), cuda_on_cpu::last_message().c_str());
  return 0;
}

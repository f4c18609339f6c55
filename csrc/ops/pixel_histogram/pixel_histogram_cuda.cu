// Three bytes are read for each pixel. Counts are added in the second-level cache (1 MB of them); lanes of a warp with
// one score and class find each other and add once, since most pixels of a map have one of few scores.

#include "core/cuda_support.cuh"
#include "ops/pixel_histogram/pixel_histogram.hpp"

namespace lcx::cuda {
namespace {

constexpr unsigned kAllLanes = 0xffffffffU;

__global__ void count(TensorView<const std::uint16_t, 1> scores, TensorView<const std::uint8_t, 1> labels,
                      unsigned long long* counts) {
  const int lane = static_cast<int>(threadIdx.x & 31);
  const std::int64_t at = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  int bin = -1;
  if (at < scores.shape[0]) {
    const bool positive = labels.data[at * labels.strides[0]] != 0;
    bin = (positive ? static_cast<int>(kScoreBins) : 0) + scores.data[at * scores.strides[0]];
  }
  const unsigned peers = __match_any_sync(kAllLanes, bin);
  if (bin >= 0 && lane == __ffs(static_cast<int>(peers)) - 1) {
    atomicAdd(counts + bin, static_cast<unsigned long long>(__popc(peers)));
  }
}

}  // namespace

void pixel_histogram(TensorView<const std::uint16_t, 1> scores, TensorView<const std::uint8_t, 1> labels,
                     TensorView<std::int64_t, 2> counts, Stream stream) {
  const DeviceGuard guard(scores.device);
  LCX_LAUNCH(count, blocks_for(scores.size()), kThreadsPerBlock, 0, to_cuda(stream), scores, labels,
             reinterpret_cast<unsigned long long*>(counts.data));
  LCX_CUDA_CHECK(cudaGetLastError());
}

}  // namespace lcx::cuda

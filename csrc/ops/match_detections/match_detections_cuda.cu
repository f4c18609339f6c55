// A block per threshold walks the detections in turn (Note [Greedy matching]): its threads look at all references
// together and agree on the one that is preferred.

#include <algorithm>
#include <vector>

#include "core/cuda_support.cuh"
#include "core/greedy_matching.hpp"
#include "ops/match_detections/match_detections_cuda.hpp"

namespace lcx::cuda {
namespace {

constexpr int kWarps = kThreadsPerBlock / 32;

/// A reference a detection might take; -1: none.
struct Choice {
  double iou;
  std::int32_t reference;
  std::int32_t ignored;
};

/// Regular before ignored, then by overlap, then the last one.
__device__ inline Choice better(const Choice& a, const Choice& b) {
  if (a.reference < 0 || b.reference < 0) return a.reference < 0 ? b : a;
  if (a.ignored != b.ignored) return a.ignored ? b : a;
  if (a.iou != b.iou) return a.iou > b.iou ? a : b;
  return a.reference > b.reference ? a : b;
}

__device__ inline bool is_set(const TensorView<const std::uint8_t, 1>& flags, std::int64_t g) {
  return flags.data != nullptr && flags.data[g * flags.strides[0]] != 0;
}

template <typename T>
__global__ void match(TensorView<const T, 2> iou, const double* thresholds, TensorView<const std::uint8_t, 1> ignore,
                      TensorView<const std::uint8_t, 1> crowd, MatchTables tables) {
  LCX_SHARED(Choice, choices, kWarps);
  const std::int64_t t = blockIdx.x;
  const auto thread = static_cast<std::int32_t>(threadIdx.x);
  const auto detections = iou.shape[0];
  const auto references = static_cast<std::int32_t>(iou.shape[1]);
  std::int32_t* to_reference = tables.detection_to_reference.data + t * detections;
  std::int32_t* to_detection = tables.reference_to_detection.data + t * references;
  std::uint8_t* ignored = tables.detection_ignored.data + t * detections;
  for (std::int32_t g = thread; g < references; g += kThreadsPerBlock) to_detection[g] = -1;
  __syncthreads();
  for (std::int64_t d = 0; d < detections; ++d) {
    Choice best{0.0, -1, 0};
    for (std::int32_t g = thread; g < references; g += kThreadsPerBlock) {
      const auto value = static_cast<double>(iou.data[d * iou.strides[0] + g * iou.strides[1]]);
      if (!(value >= thresholds[t]) || (to_detection[g] >= 0 && !is_set(crowd, g))) continue;
      best = better(best, {value, g, is_set(ignore, g) ? 1 : 0});
    }
    for (int step = 16; step > 0; step /= 2) {
      best = better(best, {__shfl_xor_sync(kAllLanes, best.iou, step), __shfl_xor_sync(kAllLanes, best.reference, step),
                           __shfl_xor_sync(kAllLanes, best.ignored, step)});
    }
    if ((thread & 31) == 0) choices[thread >> 5] = best;
    __syncthreads();
    if (thread == 0) {
      for (int w = 1; w < kWarps; ++w) best = better(best, choices[w]);
      to_reference[d] = best.reference;
      ignored[d] = best.reference >= 0 && best.ignored ? 1 : 0;
      if (best.reference >= 0) to_detection[best.reference] = static_cast<std::int32_t>(d);
    }
    __syncthreads();
  }
}

}  // namespace

template <typename T>
void enqueue_match_detections(TensorView<const T, 2> iou, TensorView<const double, 1> thresholds,
                              TensorView<const std::uint8_t, 1> ignore, TensorView<const std::uint8_t, 1> crowd,
                              const MatchTables& tables, Stream stream) {
  LCX_LAUNCH(match<T>, static_cast<unsigned>(thresholds.shape[0]), kThreadsPerBlock, 0, to_cuda(stream), iou,
             thresholds.data, ignore, crowd, tables);
  LCX_CUDA_CHECK(cudaGetLastError());
}

template <typename T>
void match_detections(TensorView<const T, 2> iou, std::span<const double> thresholds,
                      TensorView<const std::uint8_t, 1> ignore, TensorView<const std::uint8_t, 1> crowd,
                      const MatchTables& tables, Stream stream) {
  const DeviceGuard guard(iou.device);
  std::vector<double> levels(thresholds.begin(), thresholds.end());
  for (double& level : levels) level = std::min(level, kStrictestThreshold);
  const Scratch scratch(levels.size() * sizeof(double), iou.device, stream);
  upload(scratch.data(), levels.data(), levels.size() * sizeof(double), stream);
  const TensorView<const double, 1> on_device(static_cast<const double*>(scratch.data()),
                                              {static_cast<std::int64_t>(levels.size())}, iou.device);
  enqueue_match_detections(iou, on_device, ignore, crowd, tables, stream);
}

template void enqueue_match_detections(TensorView<const float, 2>, TensorView<const double, 1>,
                                       TensorView<const std::uint8_t, 1>, TensorView<const std::uint8_t, 1>,
                                       const MatchTables&, Stream);
template void enqueue_match_detections(TensorView<const double, 2>, TensorView<const double, 1>,
                                       TensorView<const std::uint8_t, 1>, TensorView<const std::uint8_t, 1>,
                                       const MatchTables&, Stream);
template void match_detections(TensorView<const float, 2>, std::span<const double>, TensorView<const std::uint8_t, 1>,
                               TensorView<const std::uint8_t, 1>, const MatchTables&, Stream);
template void match_detections(TensorView<const double, 2>, std::span<const double>, TensorView<const std::uint8_t, 1>,
                               TensorView<const std::uint8_t, 1>, const MatchTables&, Stream);

}  // namespace lcx::cuda

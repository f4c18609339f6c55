// Three bytes are read for each pixel, eight pixels a thread where memory is aligned for it. Counts are added in the
// second-level cache (1 MB of them); lanes of a warp with one score and class find each other and add once, since most
// pixels of a map have one of few scores.

#include <cstdint>

#include "core/cuda_support.cuh"
#include "ops/pixel_histogram/pixel_histogram_cuda.hpp"

namespace lcx::cuda {
namespace {

constexpr int kWide = 8;  // pixels of a thread

struct alignas(16) WideScores {
  std::uint16_t values[kWide];
};
struct alignas(8) WideLabels {
  std::uint8_t values[kWide];
};

__device__ inline void add_pixel(bool exists, std::uint16_t score, std::uint8_t label, unsigned long long* counts) {
  const int bin = exists ? (label != 0 ? static_cast<int>(kScoreBins) : 0) + score : -1;
  const unsigned peers = __match_any_sync(kAllLanes, bin);
  if (exists && static_cast<int>(threadIdx.x & 31) == __ffs(static_cast<int>(peers)) - 1) {
    atomicAdd(counts + bin, static_cast<unsigned long long>(__popc(peers)));
  }
}

// Eight pixels a thread; both arrays dense and aligned, their length a multiple of eight.
__global__ void count_wide(const std::uint16_t* scores, const std::uint8_t* labels, std::int64_t count,
                           unsigned long long* counts) {
  const std::int64_t at = thread_number() * kWide;
  const bool exists = at < count;
  WideScores own_scores{};
  WideLabels own_labels{};
  if (exists) {
    own_scores = *reinterpret_cast<const WideScores*>(scores + at);
    own_labels = *reinterpret_cast<const WideLabels*>(labels + at);
  }
  for (int k = 0; k < kWide; ++k) add_pixel(exists, own_scores.values[k], own_labels.values[k], counts);
}

__global__ void count_each(TensorView<const std::uint16_t, 1> scores, TensorView<const std::uint8_t, 1> labels,
                           std::int64_t first, unsigned long long* counts) {
  const std::int64_t at = first + thread_number();
  const bool exists = at < scores.shape[0];
  add_pixel(exists, exists ? scores.data[at * scores.strides[0]] : std::uint16_t{0},
            exists ? labels.data[at * labels.strides[0]] : std::uint8_t{0}, counts);
}

template <typename T>
bool is_aligned(const TensorView<const T, 1>& values) {
  return values.strides[0] == 1 && reinterpret_cast<std::uintptr_t>(values.data) % (kWide * sizeof(T)) == 0;
}

}  // namespace

void enqueue_pixel_histogram(TensorView<const std::uint16_t, 1> scores, TensorView<const std::uint8_t, 1> labels,
                             TensorView<std::int64_t, 2> counts, Stream stream) {
  auto* bins = reinterpret_cast<unsigned long long*>(counts.data);
  const std::int64_t count = scores.shape[0];
  const std::int64_t wide = is_aligned(scores) && is_aligned(labels) ? count / kWide * kWide : 0;
  if (wide > 0) {
    LCX_LAUNCH(count_wide, blocks_for(wide / kWide), kThreadsPerBlock, 0, to_cuda(stream), scores.data, labels.data,
               wide, bins);
  }
  if (wide < count) {
    LCX_LAUNCH(count_each, blocks_for(count - wide), kThreadsPerBlock, 0, to_cuda(stream), scores, labels, wide, bins);
  }
  LCX_CUDA_CHECK(cudaGetLastError());
}

void pixel_histogram(TensorView<const std::uint16_t, 1> scores, TensorView<const std::uint8_t, 1> labels,
                     TensorView<std::int64_t, 2> counts, Stream stream) {
  const DeviceGuard guard(scores.device);
  enqueue_pixel_histogram(scores, labels, counts, stream);
}

}  // namespace lcx::cuda
